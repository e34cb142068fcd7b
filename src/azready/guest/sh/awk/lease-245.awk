BEGIN {
    n = split("OPTION_245= opt245= unknown-245@ private_245= option-245@", marks, " ")
    for (i = 32; i < 256; i++) code[sprintf("%c", i)] = i
}
/^[ \t]*lease[ \t]*\{/ { close_lease() }
{
    gsub(/;/, " ")
    for (i = 1; i <= n; i++) {
        mark = marks[i]
        sub(/@/, " ", mark)
        if (at = index($0, mark)) { found = dotted(trim(substr($0, at + length(mark)))); if (found != "") this = found }
    }
    text = $0
    gsub(/=/, " ", text)
    count = split(text, word, /[ \t\r]+/)
    at = word[1] == "" ? 2 : 1
    if (word[at] == "expire" || word[at] == "EXPIRY") { if (over(word[at + 1], word[at + 2], word[at + 3])) bad = 1 }
    else if (word[at] == "interface" && interfaces ~ /[^ ]/) {
        gsub(/"/, "", word[at + 1])
        if (!index(interfaces, " " word[at + 1] " ")) bad = 1
    }
}
END { close_lease(); if (last != "") print last }
function close_lease() { if (!bad && this != "") last = this; bad = 0; this = "" }
function over(first, day, clock,   d, c, year, month) {
    if (first == "epoch") first = day
    if (day ~ /^[0-9]+\/[0-9]+\/[0-9]+$/ && clock ~ /^[0-9]+:[0-9]+:[0-9]+$/) {
        split(day, d, "/")
        split(clock, c, ":")
        month = (d[2] + 9) % 12
        year = d[1] - (month >= 10)
        day = 365 * year + int(year / 4) - int(year / 100) + int(year / 400) + int((month * 306 + 5) / 10) + d[3] - 719469
        return ((day * 24 + c[1]) * 60 + c[2]) * 60 + c[3] <= now + 0
    }
    return first ~ /^[0-9]+$/ && length(first) <= 12 && (day == "" || first == day) && first + 0 <= now + 0
}
function trim(s) { sub(/^[ \t\r]+/, "", s); sub(/[ \t\r]+$/, "", s); return s }
function hex(s) { s = tolower(s); return length(s) == 1 ? digit(s) : digit(substr(s, 1, 1)) * 16 + digit(substr(s, 2, 1)) }
function digit(c) { return index("0123456789abcdef", c) - 1 }
function dotted(s,   part, count, i, c, out) {
    if (s ~ /^".*"$/ && length(s) > 1) {
        s = substr(s, 2, length(s) - 2)
        while (s != "") {
            if (s ~ /^\\[0-7][0-7][0-7]/) {
                part[++count] = substr(s, 2, 1) * 64 + substr(s, 3, 1) * 8 + substr(s, 4, 1)
                s = substr(s, 5)
                continue
            }
            sub(/^\\/, "", s)
            part[++count] = code[substr(s, 1, 1)]
            s = substr(s, 2)
        }
        return address(part, count)
    }
    gsub(/^["\047]+|["\047]+$/, "", s)
    if (s ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) count = split(s, part, ".")
    else if (s ~ /^[0-9a-fA-F:]+$/ && (index(s, ":") || length(s) == 8)) {
        if (!index(s, ":")) gsub(/../, "&:", s)
        sub(/:$/, "", s)
        count = split(s, part, ":")
        for (i = 1; i <= count; i++) {
            if (part[i] !~ /^[0-9a-fA-F][0-9a-fA-F]?$/) return ""
            part[i] = hex(part[i])
        }
    }
    return address(part, count)
}
function address(part, count,   i) {
    if (count != 4 || part[1] < 1 || part[1] > 223) return ""
    for (i = 2; i <= 4; i++) if (part[i] > 255) return ""
    return part[1] + 0 "." part[2] + 0 "." part[3] + 0 "." part[4] + 0
}
