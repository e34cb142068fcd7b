function code(hex,   i, n, d) {
    for (i = 1; i <= 4; i++) {
        d = index("0123456789abcdef", tolower(substr(hex, i, 1)))
        if (!d || length(hex) < 4) bad()
        n = n * 16 + d - 1
    }
    return n
}
function unescape(s,   out, i, c, n) {
    while ((i = index(s, "\\")) > 0) {
        c = substr(s, i + 1, 1)
        out = out substr(s, 1, i - 1)
        s = substr(s, i + 2)
        if (c == "u") {
            n = code(s)
            s = substr(s, 5)
            if (n >= 55296 && n < 56320 && substr(s, 1, 2) == "\\u") {
                n = 65536 + (n - 55296) * 1024 + code(substr(s, 3)) - 56320
                s = substr(s, 7)
            }
            out = out utf8(n)
        } else {
            i = index("\"\\/bfnrt", c)
            if (c == "" || !i) bad()
            out = out substr("\"\\/??\n\r\t", i, 1)
        }
    }
    return out s
}
function open(kind) {
    if (state != "value" && state != "first") bad()
    base = here()
    if (++depth > 64) bad()
    kinds[depth] = kind
    count[depth] = 0
    paths[depth] = base
    state = kind == "{" ? "key or }" : "first"
}
function shut(kind) {
    if (!depth || kinds[depth] != kind) bad()
    depth--
    state = "after"
    opened[substr(here(), 2)] = kind
}
function here() {
    if (!depth) return ""
    return kinds[depth] == "{" ? paths[depth] "." key[depth] : paths[depth] "." count[depth]
}
function value(v, kind,   p) {
    if (state != "value" && state != "first" || !depth) bad()
    p = substr(here(), 2)
    state = "after"
    found(p, v, kind)
}
function text(s) {
    if (state == "key" || state == "key or }") {
        key[depth] = s
        state = ":"
    } else value(s, "text")
}
function outside(s,   c) {
    while (s != "") {
        if (match(s, /^[ \t\r\n]+/)) { s = substr(s, RLENGTH + 1); continue }
        c = substr(s, 1, 1)
        if (c == "{" || c == "[") open(c)
        else if (c == "}" && (state == "after" || state == "key or }")) shut("{")
        else if (c == "]" && (state == "after" || state == "first")) shut("[")
        else if (c == ":" && state == ":") state = "value"
        else if (c == "," && state == "after" && depth) {
            count[depth]++
            state = kinds[depth] == "{" ? "key" : "value"
        } else if (match(s, /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)/)) {
            c = substr(s, 1, RLENGTH)
            value(c, "bare")
            s = substr(s, RLENGTH + 1)
            continue
        } else bad()
        s = substr(s, 2)
    }
}
BEGIN { RS = "\""; state = "value" }
NR == 1 { sub(/^\357\273\277/, "") }
{
    if (!inside) {
        outside($0)
        inside = 1
        string = ""
        next
    }
    if ($0 ~ /[\001-\037]/) bad()
    string = string $0
    match($0, /\\*$/)
    if (RLENGTH % 2) { string = string "\""; next }
    text(unescape(string))
    inside = 0
}
END { if (wrong || state != "after" || depth) exit 1 }
