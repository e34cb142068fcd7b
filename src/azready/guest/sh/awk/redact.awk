BEGIN { RS = "<" }
NR == 1 { printf "%s", $0; next }
secret != "" && $0 !~ /^\// { content = 1; next }
secret != "" {
    name = substr($0, 2)
    sub(/[ \t\r\n>].*/, "", name)
    if (name != secret) next
    if (content) printf "REDACTED"
    secret = ""
}
{
    name = $0
    sub(/[ \t\r\n>\/].*/, "", name)
    kind = tolower(name)
    sub(/^.*:/, "", kind)
    if (name ~ /^[!?]/ || kind != "customdata" && (!index(kind, "password") || kind ~ /^disable/)) size = 0
    else size = match($0, /^[^>"\047]*("[^"]*"[^>"\047]*|\047[^\047]*\047[^>"\047]*)*>/) ? RLENGTH : 0
    if (!size || substr($0, size - 1, 1) == "/") { printf "<%s", $0; next }
    printf "<%s", substr($0, 1, size)
    secret = name
    content = size < length($0)
}
