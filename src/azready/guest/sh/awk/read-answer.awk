function hex(s,   i, n) {
    for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
    return n
}
!body {
    print >head
    line = tolower($0)
    sub(/\r$/, "", line)
    if (line ~ /^content-length:/) { size = line; sub(/^[^:]*:[ \t]*/, "", size) }
    if (line ~ /^transfer-encoding:.*chunked/) chunked = 1
    if (line == "") body = 1
    next
}
{ text = text $0 "\n" }
END {
    if (!body) exit 1
    if (!chunked) {
        if (size != "" && length(text) < size + 0) exit 1
        printf "%s", (size == "" ? text : substr(text, 1, size))
        exit 0
    }
    while (match(text, /^[0-9a-fA-F]+/)) {
        size = hex(substr(text, 1, RLENGTH))
        text = substr(text, index(text, "\n") + 1)
        if (!size) exit 0
        if (length(text) < size) exit 1
        printf "%s", substr(text, 1, size)
        text = substr(text, size + 3)
    }
    exit 1
}
