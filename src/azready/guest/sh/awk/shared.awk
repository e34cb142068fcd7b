function bad() { wrong = 1; exit 1 }
function clean(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
function fit(s, most) {
    if (length(s) <= most) return s
    while (most > 0 && substr(s, most + 1, 1) ~ /[\200-\277]/) most--
    return substr(s, 1, most)
}
function sequence(s) {
    if (s ~ /^[\302-\337][\200-\277]/) return 2
    if (s ~ /^\357\277[\276\277]/) return 0
    if (s ~ /^(\340[\240-\277]|[\341-\354\356\357][\200-\277]|\355[\200-\237])[\200-\277]/) return 3
    if (s ~ /^(\360[\220-\277]|[\361-\363][\200-\277]|\364[\200-\217])[\200-\277][\200-\277]/) return 4
    return 0
}
function valid(s,   out, n) {
    while (match(s, /[\200-\377]/)) {
        out = out substr(s, 1, RSTART - 1)
        s = substr(s, RSTART)
        n = sequence(s)
        out = out (n ? substr(s, 1, n) : "\357\277\275")
        s = substr(s, n ? n + 1 : 2)
    }
    return out s
}
function utf8(n) {
    if (n < 32) return n == 10 ? "\n" : n == 13 ? "\r" : n == 9 ? "\t" : " "
    if (n < 128) return sprintf("%c", n)
    if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    if (n >= 55296 && n < 57344) return "?"
    if (n < 65536) return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
    return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, 128 + int(n / 64) % 64, 128 + n % 64)
}
