function fits(text, pattern,   i, c, re) {
    for (i = 1; i <= length(pattern); i++) {
        c = substr(pattern, i, 1)
        re = re (c == "*" ? ".*" : c == "?" ? "." : c == "^" ? "\\^" : c == "\\" ? "\\\\" : "[" c "]")
    }
    return text ~ "^" re "$"
}
# whether one of the names, with blanks between, is in a list of patterns
function listed(names, patterns, between,   p, n, i, m, j, name, inside, bare) {
    n = split(patterns, p, between)
    m = split(names, name, " ")
    for (i = 1; i <= n; i++) {
        bare = p[i]
        if (between == ",") sub(/^!/, "", bare) # in AllowUsers and the like it is a letter
        for (j = 1; j <= m; j++) if (fits(name[j], bare)) {
            if (bare != p[i]) return 0
            inside = 1
        }
    }
    return inside + 0
}
function keyword(name) {
    name = tolower(name)
    if (name == "challengeresponseauthentication" || name == "skeyauthentication") return "kbdinteractiveauthentication"
    if (name == "pubkeyacceptedkeytypes") return "pubkeyacceptedalgorithms"
    if (name == "dsaauthentication") return "pubkeyauthentication"
    return name == "rsaauthentication" ? "protocol" : name
}
BEGIN { LISTS = "^((allow|deny)(users|groups)|hostkey|listenaddress)$" }
function take(inside, name, value) {
    if (inside) {
        if (!(name in matched)) matched[name] = value
        else if (name ~ LISTS) matched[name] = matched[name] "\t" value
    } else if (!(name in usual)) { usual[name] = value; order[++count] = name }
    else if (name ~ LISTS) usual[name] = usual[name] "\t" value
    if ((name in matched) && !(name in usual)) { usual[name] = ""; order[++count] = name }
}
function print_all(   i) {
    for (i = 1; i <= count; i++) print order[i] "\t" ((order[i] in matched) ? matched[order[i]] : usual[order[i]])
}
