BEGIN { for (i = 1; i <= 64; i++) digit[substr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i, 1)] = i - 1 }
{
    gsub(/[ \t\r=]/, "")
    rest = rest $0
    n = length(rest) - length(rest) % 4
    for (i = 1; i <= n; i += 4) emit(substr(rest, i, 4))
    rest = substr(rest, n + 1)
    print out
    out = ""
}
END { emit(rest); print out }
function emit(s,   n, i) {
    if (length(s) < 2) return
    for (i = 1; i <= 4; i++) n = n * 64 + digit[substr(s, i, 1)]
    out = out sprintf("\\%03o", int(n / 65536))
    if (length(s) > 2) out = out sprintf("\\%03o", int(n / 256) % 256)
    if (length(s) > 3) out = out sprintf("\\%03o", n % 256)
}
