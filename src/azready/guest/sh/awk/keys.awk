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
function options_end(s,   at, i, from) {
    at = 1
    options_seen = 0
    for (;;) {
        match(substr(s, at), /^[-A-Za-z0-9]*/)
        option_name[++options_seen] = tolower(substr(s, at, RLENGTH))
        if (!(option_name[options_seen] in key_option)) return 0
        at += RLENGTH
        option_valued[options_seen] = substr(s, at, 2) == "=\""
        if (option_valued[options_seen]) {
            from = at += 2
            for (;;) {
                i = index(substr(s, at), "\"")
                if (!i) return 0
                at += i
                if (substr(s, at - 2, 1) != "\\") break
            }
            option_value[options_seen] = substr(s, from, at - 1 - from)
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
# what keeps sshd from taking a key with the options that were seen last (auth-options.c of OpenSSH)
function refused_option(   i, j, name, value, named) {
    for (i = 1; i <= options_seen; i++) named[option_name[i]]++
    for (i = 1; i <= options_seen; i++) {
        name = option_name[i]
        value = option_value[i]
        j = name ~ /^(command|from|principals)$/ && named[name] > 1
        if (j || option_valued[i] != (key_option[name] == 2) || option_valued[i] && !option_takes(name, value))
            return "sshd does not take its option " name
        if (name == "principals" && !("cert-authority" in named)) return "its option principals is for authorities (cert-authority)"
        if (name == "expiry-time" && day_of(substr(value, 1, 4) + 0, substr(value, 5, 2) + 0, substr(value, 7, 2) + 0) < yesterday())
            return "its expiry-time has passed"
    }
    return ""
}
function option_takes(name, value) {
    if (name == "environment") return value ~ /^[A-Za-z0-9_]+=/
    if (name == "expiry-time") {
        if (value !~ /^[0-9]+[Zz]?$/ || substr(value, 5, 2) !~ /^(0[1-9]|1[0-2])$/ || substr(value, 7, 2) !~ /^(0[1-9]|[12][0-9]|3[01])$/) return 0
        sub(/[Zz]$/, "", value)
        return length(value) ~ /^(8|12|14)$/
    }
    if (name == "from") return value != ""
    if (name == "permitopen" || name == "permitlisten" && index(value, ":")) return value ~ /.:[^:]*$/ && is_port(value)
    if (name == "permitlisten") return is_port(value)
    return name != "tunnel" || value == "any" || value ~ /^[0-9]+$/ && value + 0 <= 1073741824
}
function is_port(value) {
    sub(/.*:/, "", value)
    return value ~ /[^0-9]/ || value != "" && value + 0 >= 1 && value + 0 <= 65535
}
# the number of a day of the Gregorian calendar, since 1970; a year that begins in March ends with the leap day
function day_of(year, month, day) {
    month = (month + 9) % 12
    if (month >= 10) year--
    return 365 * year + int(year / 4) - int(year / 100) + int(year / 400) + int((month * 306 + 5) / 10) + day - 719469
}
# what was over then is over in every time zone
function yesterday(   seconds) {
    "date +%s" | getline seconds
    close("date +%s")
    return int(seconds / 86400) - 1
}
function check(key, number,   start, options, kind, body, comment, least, refused) {
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
    else if (start > 1 && (refused = refused_option()) != "") print least refused
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
    n = split("agent-forwarding cert-authority no-agent-forwarding no-port-forwarding no-pty no-touch-required no-user-rc " \
        "no-verify-required no-x11-forwarding port-forwarding pty restrict touch-required user-rc verify-required x11-forwarding", part, " ")
    for (i = 1; i <= n; i++) key_option[part[i]] = 1
    n = split("command environment expiry-time from permitlisten permitopen principals tunnel", part, " ")
    for (i = 1; i <= n; i++) key_option[part[i]] = 2
}
