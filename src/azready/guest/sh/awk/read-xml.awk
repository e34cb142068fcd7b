function number(s, base,   i, n, d) {
    if (s == "") bad()
    for (i = 1; i <= length(s); i++) {
        d = index("0123456789abcdef", tolower(substr(s, i, 1)))
        if (!d || d > base) bad()
        n = n * base + d - 1
        if (n > 1114111) bad()
    }
    return n
}
function entity(name) {
    if (name in known) return known[name]
    if (substr(name, 1, 2) == "#x") return utf8(allowed(number(substr(name, 3), 16)))
    if (substr(name, 1, 1) == "#") return utf8(allowed(number(substr(name, 2), 10)))
    bad()
}
function allowed(n) {
    if (n < 32 && n != 9 && n != 10 && n != 13 || n >= 55296 && n < 57344 || n == 65534 || n == 65535) bad()
    return n
}
function unescape(s,   out, i, j) {
    while ((i = index(s, "&")) > 0) {
        out = out substr(s, 1, i - 1)
        s = substr(s, i + 1)
        j = index(s, ";")
        if (!j) bad()
        out = out entity(substr(s, 1, j - 1))
        s = substr(s, j + 1)
    }
    return out s
}
function named(qualified, level,   i, prefix) {
    i = index(qualified, ":")
    prefix = i ? substr(qualified, 1, i - 1) : ""
    for (; level > 0; level--) if ((level, prefix) in space) {
        i = i ? substr(qualified, i + 1) : qualified
        prefix = space[level, prefix]
        return (prefix in short ? short[prefix] : prefix == "" ? "" : "?:") i
    }
    if (prefix != "") bad()
    return qualified
}
function attributes(s,   name, v) {
    while (match(s, /^[ \t\r\n]+[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*[ \t\r\n]*=[ \t\r\n]*/)) {
        name = substr(s, 1, RLENGTH)
        s = substr(s, RLENGTH + 1)
        gsub(/[ \t\r\n=]/, "", name)
        if (!match(s, /^("[^"]*"|\047[^\047]*\047)/)) bad()
        v = unescape(substr(s, 2, RLENGTH - 2))
        s = substr(s, RLENGTH + 1)
        if (name == "xmlns") space[depth, ""] = v
        else if (substr(name, 1, 6) == "xmlns:") space[depth, substr(name, 7)] = v
    }
    return s
}
function start(s,   name, empty, pair, part) {
    if (!match(s, /^[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*/)) bad()
    if (!depth && done++) bad()
    name = substr(s, 1, RLENGTH)
    if (++depth > 32) bad()
    raw[depth] = name
    s = attributes(substr(s, RLENGTH + 1))
    if (!match(s, /^[ \t\r\n]*\/?>/)) bad()
    empty = index(substr(s, 1, RLENGTH), "/")
    path[depth] = path[depth - 1] "/" named(name, depth)
    content[depth] = ""
    if (empty) finish()
    characters(substr(s, RLENGTH + 1))
}
function finish(   pair, part) {
    found(substr(path[depth], 2), content[depth])
    for (pair in space) {
        split(pair, part, SUBSEP)
        if (part[1] == depth) delete space[pair]
    }
    depth--
}
function stop(s,   name) {
    if (!match(s, /^[^ \t\r\n>]+[ \t\r\n]*>/)) bad()
    name = substr(s, 1, RLENGTH - 1)
    sub(/[ \t\r\n]+$/, "", name)
    if (!depth || name != raw[depth]) bad()
    s = substr(s, RLENGTH + 1)
    finish()
    characters(s)
}
function characters(s) {
    if (!depth) { if (s !~ /^[ \t\r\n]*$/) bad(); return }
    if (index(s, "]]>")) bad()
    content[depth] = content[depth] unescape(s)
}
function until(mark, s,   i) {
    held = held s
    i = index(held, mark)
    if (!i) { held = held "<"; return 0 }
    after = substr(held, i + length(mark))
    held = substr(held, 1, i - 1)
    return 1
}
function markup(s) {
    if (mode == "" && s ~ /^!--/) { mode = "-->"; s = substr(s, 4) }
    else if (mode == "" && s ~ /^!\[CDATA\[/ && depth) { mode = "]]>"; s = substr(s, 9) }
    else if (mode == "" && s ~ /^\?/) {
        if (s !~ /^\?[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*([ \t\r\n]|\?>)/) bad()
        mode = "?>"
        s = substr(s, 2)
    }
    else if (mode == "" && s ~ /^!/) bad()
    else if (mode == "" && s ~ /^\//) { stop(substr(s, 2)); return }
    else if (mode == "") { start(s); return }
    if (!until(mode, s)) return
    if (mode == "-->" && held ~ /--|-$/) bad()
    if (mode == "]]>") content[depth] = content[depth] held
    mode = held = ""
    characters(after)
}
function declaration(s,   blank, is) {
    blank = "[ \t\r\n]"
    is = blank "*=" blank "*"
    return s ~ "^[?]xml" blank "+version" is "(\"1[.][0-9]+\"|\0471[.][0-9]+\047)" \
        "(" blank "+encoding" is "(\"[A-Za-z][-A-Za-z0-9._]*\"|\047[A-Za-z][-A-Za-z0-9._]*\047))?" \
        "(" blank "+standalone" is "(\"yes\"|\"no\"|\047yes\047|\047no\047))?" blank "*[?]>"
}
BEGIN {
    RS = "<"
    known["amp"] = "&"; known["lt"] = "<"; known["gt"] = ">"; known["quot"] = "\""; known["apos"] = "\047"
    short["http://schemas.dmtf.org/ovf/environment/1"] = "o:"
    short["http://schemas.microsoft.com/windowsazure"] = "w:"
}
NR == 1 { sub(/^\357\273\277/, ""); if ($0 !~ /^[ \t\r\n]*$/) bad(); before = $0; next }
mode == "" && /^\?[xX][mM][lL][ \t\r\n?]/ { if (NR > 2 || before != "" || !declaration($0)) bad() }
{ markup($0) }
END { if (wrong || depth || !done || mode != "") exit 1 }
