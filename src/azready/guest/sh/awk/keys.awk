function trim(s) { sub(/^[ \t\r\n]+/, "", s); sub(/[ \t\r\n]+$/, "", s); return s }
function keys(v, number,   lines, n, i, key, some) {
    gsub(/\r/, "\n", v)
    n = split(v, lines, "\n")
    for (i = 1; i <= n; i++) {
        sub(/^(\357\273\277|[ \t])+/, "", lines[i])
        if (i > 1 && key_start(lines[i])) { some += side_by_side(key, number); key = "" }
        key = key lines[i]
    }
    some += side_by_side(key, number)
    if (!some) print "bad_key", "key", number, "is empty and was skipped"
}
function first_word(s) { sub(/[ \t].*/, "", s); return s }
function key_start(s,   at) {
    if (first_word(s) in is_kind) return 1
    at = options_end(s)
    while (at > 1 && substr(s, at, 1) ~ /^[ \t]$/) at++
    return at > 1 && (first_word(substr(s, at)) in is_kind) ? at : 0
}
function options_end(s,   at, i) {
    at = 1
    for (;;) {
        match(substr(s, at), /^[-A-Za-z0-9]*/)
        if (!(tolower(substr(s, at, RLENGTH)) in key_option)) return 0
        at += RLENGTH
        if (substr(s, at, 2) == "=\"") {
            at += 2
            for (;;) {
                i = index(substr(s, at), "\"")
                if (!i) return 0
                at += i
                if (substr(s, at - 2, 1) != "\\") break
            }
        }
        if (substr(s, at, 1) != ",") return at
        at++
    }
}
function side_by_side(s, number,   start, t, n, w, i, at) {
    s = trim(s)
    if (s == "") return 0
    start = key_start(s)
    if (start) {
        t = substr(s, start)
        gsub(/\t/, " ", t)
        n = split(t, w, / /)
        at = start + length(w[1]) + 1 + length(w[2])
        for (i = 3; i < n; i++) {
            if ((w[i] in is_kind) && w[i + 1] ~ /^AAAA/)
                return check(trim(substr(s, 1, at - 1)), number) + side_by_side(substr(s, at), number)
            at += 1 + length(w[i])
        }
    }
    return check(s, number)
}
function check(key, number,   start, options, kind, body, comment, least) {
    start = key_start(key)
    options = start > 1 ? trim(substr(key, 1, start - 1)) " " : ""
    kind = first_word(substr(key, start ? start : 1))
    comment = start ? substr(key, start + length(kind)) : ""
    sub(/^[ \t]+/, "", comment)
    body = first_word(comment)
    comment = clean(substr(comment, length(body) + 1))
    gsub(/^ +| +$/, "", comment)
    comment = fit(comment, 256)
    sub(/ +$/, "", comment)
    least = "bad_key key " number " was skipped: "
    if (index(key, "BEGIN ")) print least "it is a certificate, not an ssh key"
    else if (!start || body == "") print least "it does not begin with a known key type"
    else if (!base64(body)) print least "its body is not base64"
    else if (!is_key(kind, body)) print least "its body is not a key of that type, or is cut"
    else if (!known_key[kind, body]++) print "key", options kind, body (comment == "" ? "" : " " comment)
    return 1
}
function base64(s) {
    if (length(s) % 4 || s !~ /^[A-Za-z0-9+\/]*=?=?$/) return 0
    return s ~ /=$/ ? s ~ /([AQgw]=|[AEIMQUYcgkosw048])=$/ : 1
}
function digit(c) { return c == "=" ? 0 : index(alphabet, c) - 1 }
function byte(s, i,   g, n) {
    g = int(i / 3) * 4 + 1
    n = (digit(substr(s, g, 1)) * 64 + digit(substr(s, g + 1, 1))) * 4096
    n += digit(substr(s, g + 2, 1)) * 64 + digit(substr(s, g + 3, 1))
    i %= 3
    return i == 0 ? int(n / 65536) : i == 1 ? int(n / 256) % 256 : n % 256
}
function field(s, i,   out, at) {
    for (at = starts[i]; at < starts[i] + sizes[i]; at++) out = out sprintf("%c", byte(s, at))
    return out
}
function is_key(kind, s,   total, at, n, size, i, curve, point) {
    total = length(s) / 4 * 3 - (s ~ /=$/) - (s ~ /==$/)
    for (at = 0; at < total; at += 4 + size) {
        size = 0
        for (i = 0; i < 4; i++) size = size * 256 + byte(s, at + i)
        if (at + 4 + size > total || ++n > 4) return 0
        starts[n] = at + 4
        sizes[n] = size
    }
    if (!n || sizes[1] != length(kind) || field(s, 1) != kind) return 0
    if (kind == "ssh-rsa") return n == 3 && sizes[2] && sizes[2] <= 8 && sizes[3] >= 128 && byte(s, starts[2]) < 128 && byte(s, starts[3]) < 128
    if (kind ~ /^sk-/) {
        if (!sizes[n]) return 0
        n--
        kind = substr(kind, 4)
        sub(/@.*/, "", kind)
    }
    if (kind == "ssh-ed25519") return n == 2 && sizes[2] == 32
    curve = substr(kind, 12)
    point = curve == "nistp256" ? 65 : curve == "nistp384" ? 97 : 133
    return n == 3 && sizes[2] == 8 && field(s, 2) == curve && sizes[3] == point && byte(s, starts[3]) == 4
}
BEGIN {
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    n = split("ssh-rsa ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 " \
        "sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com", part, " ")
    for (i = 1; i <= n; i++) is_kind[part[i]] = 1
    n = split("agent-forwarding cert-authority command environment expiry-time from no-agent-forwarding " \
        "no-port-forwarding no-pty no-touch-required no-user-rc no-x11-forwarding permitlisten permitopen " \
        "port-forwarding principals pty restrict tunnel user-rc verify-required x11-forwarding", part, " ")
    for (i = 1; i <= n; i++) key_option[part[i]] = 1
}
