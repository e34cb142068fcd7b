# quotes of both kinds hold a word together, a backslash keeps a quote, # ends the line
function words(s,   i, c, next_one, quote, word, some, out) {
    n_words = 0
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        next_one = substr(s, i + 1, 1)
        if (c == "\\" && (next_one == "\\" || next_one == "\"" || next_one == "\047" || next_one == " " && quote == "")) {
            word = word next_one
            some = 1
            i++
        } else if (quote != "") { if (c == quote) quote = ""; else word = word c }
        else if (c == " " || c == "\t") { if (some) w[++n_words] = word; word = ""; some = 0 }
        else if (c == "\"" || c == "\047") { quote = c; some = 1 }
        else if (c == "#" && !some) break
        else { word = word c; some = 1 }
    }
    if (some) w[++n_words] = word
}
# 1: a Match block is about this user; 0: it is not; 2: only the connection will tell
function applies(   i, attribute, value, sure) {
    sure = 1
    for (i = 1; i <= n_words; ) {
        attribute = tolower(w[i])
        value = ""
        if (index(attribute, "=")) { value = substr(w[i], index(w[i], "=") + 1); sub(/=.*/, "", attribute); i++ }
        else if (attribute == "all") { i++; continue }
        else { value = i < n_words ? w[i + 1] : ""; i += 2 }
        if (attribute == "user") { if (!listed(user, value, ",")) return 0 }
        else if (attribute == "group") { if (!listed(groups, value, ",")) return 0 }
        else if (attribute == "invalid-user") return 0
        else if (attribute != "all") sure = 2
    }
    return sure
}
BEGIN {
    depth = 0
    active[0] = begins[0] = 1
    inside[0] = maybe[0] = 0 # gawk 5.2 fails where an element that was never set is handed to a function
    plain = "yes"
    n = split("acceptenv addressfamily allowagentforwarding allowstreamlocalforwarding allowtcpforwarding banner " \
        "channeltimeout ciphers clientalivecountmax clientaliveinterval compression debianbanner exposeauthinfo " \
        "fingerprinthash gatewayports gssapiauthentication gssapicleanupcredentials gssapikexalgorithms " \
        "gssapikeyexchange gssapistorecredentialsonrekey gssapistrictacceptorcheck hostbasedauthentication hostkey " \
        "hostkeyalgorithms ignorerhosts ignoreuserknownhosts include ipqos kbdinteractiveauthentication " \
        "kerberosauthentication kexalgorithms listenaddress logingracetime loglevel macs maxauthtries " \
        "maxstartups passwordauthentication permitemptypasswords permitrootlogin permittty permittunnel " \
        "permituserenvironment pidfile port printlastlog printmotd protocol rekeylimit strictmodes subsystem " \
        "syslogfacility tcpkeepalive unusedconnectiontimeout usedns usepam useprivilegeseparation versionaddendum " \
        "x11displayoffset x11forwarding x11uselocalhost", part, " ")
    for (i = 1; i <= n; i++) quiet[part[i]] = 1
    n = split("allowusers denyusers allowgroups denygroups authorizedkeysfile authenticationmethods chrootdirectory " \
        "forcecommand pubkeyacceptedalgorithms requiredrsasize revokedkeys", part, " ")
    for (i = 1; i <= n; i++) confines[part[i]] = 1
    n = split("acceptenv banner hostkey include listenaddress loglevel pidfile subsystem syslogfacility versionaddendum", part, " ")
    for (i = 1; i <= n; i++) any_text[part[i]] = 1
    quiet["pubkeyauthentication yes"] = quiet["permituserrc yes"] = quiet["disableforwarding no"] = 1
}
function enter() { begins[depth + 1] = active[depth + 1] = active[depth]; inside[depth + 1] = inside[depth]; maybe[depth + 1] = 0; depth++ }
# the usual Include, of files that the shell has named; any other is for the shell
function included(   n, file, i, s) {
    if (depth || n_words != 1 || w[1] !~ /^(\/etc\/ssh\/)?sshd_config\.d\/\*\.conf$/) { odd = 1; exit }
    n = split(drop_ins, file, " ")
    for (i = 1; i <= n; i++) {
        enter()
        while ((getline s <file[i]) > 0) one(s)
        close(file[i])
        depth--
    }
}
function one(s,   name, rest, verdict, value, i) {
    text = s
    gsub(/^[ \t\r\f]+|[ \t\r\f]+$/, "", text)
    if (text == "" || text ~ /^#/) return
    if (text ~ /^"/) {
        name = substr(text, 2)
        sub(/".*/, "", name)
        rest = substr(text, length(name) + 3)
    } else {
        name = text
        sub(/[ \t\r\f="].*/, "", name)
        rest = substr(text, length(name) + 1)
    }
    sub(/^[ \t\r\f]+/, "", rest)
    if (rest ~ /^=/) sub(/^=[ \t\r\f]*/, "", rest)
    name = keyword(name)
    if (name == "") return
    words(rest)
    if (name == "include" && direct) { included(); return }
    if (name == "match") {
        verdict = applies()
        inside[depth] = 1
        active[depth] = begins[depth] && verdict == 1
        maybe[depth] = begins[depth] && verdict == 2
        plain = "no"
        if (verdict == 2) unsure = 1
        return
    }
    if (inside[depth] && (name == "passwordauthentication" || name == "kbdinteractiveauthentication") && n_words && w[1] == "yes")
        opens = 1
    if (maybe[depth] && (name in confines || n_words == 1 && (name " " w[1]) ~ /^(pubkeyauthentication no|maxsessions 0|maxauthtries 0|refuseconnection yes)$/))
        shuts = 1
    for (i = 1; i <= n_words; i++) if (maybe[depth] && name == "setenv" && w[i] ~ /^PATH=/) shuts = 1
    if (!active[depth]) return
    value = n_words ? w[1] : ""
    for (i = 2; i <= n_words; i++) value = value "\t" w[i]
    take(inside[depth] + 0, name, value)
    if (name == "authorizedkeysfile") { if (value !~ /^(%h\/)?\.ssh\/authorized_keys(\t|$)/) plain = "no" }
    else if (name == "subsystem") { if (!n_words || (w[1] in subsystems)) plain = "no"; subsystems[w[1]] = 1 }
    else if (!((name " " value) in quiet) && (!(name in quiet) || !taken(name)) || name " " value == "maxauthtries 0") plain = "no"
}
# a number that any version takes, a time in hours, minutes or seconds among them
function usual_number(name, word) {
    if (name ~ /^(clientaliveinterval|logingracetime)$/) sub(/[smh]$/, "", word)
    return name != "rekeylimit" && word ~ /^[0-9]+$/ && word + 0 >= (name == "port") && word + 0 <= 65535 && name " " word != "logingracetime 1"
}
# whether sshd takes these values, by their looks: all others are for sshd itself to judge
function taken(name) {
    if (name in any_text) return n_words > 0
    if (name == "maxstartups")
        return n_words == 1 && w[1] ~ /^[0-9]+(:[0-9]+:[0-9]+)?$/ && w[1] !~ /(^|:)0*[01](:|$)/ && w[1] !~ /[1-9][0-9][0-9][0-9][0-9]/
    return n_words == 1 && (usual_number(name, w[1]) || tolower(w[1]) ~ /^(yes|no|none|prohibit-password|without-password|forced-commands-only|delayed|any|inet6?)$/)
}
$0 == "#azp(" && !direct { enter(); next }
$0 == "#azp)" && !direct { depth--; next }
{ one($0) }
function has_account(root, name,   s, found) {
    while ((getline s <(root "/etc/passwd")) > 0) if (index(s, name ":") == 1) found = 1
    while ((getline s <(root "/usr/lib/passwd")) > 0) if (index(s, name ":") == 1) found = 1
    return found
}
# whether the file system of /usr/bin is mounted so that sudo makes nobody root
function nosuid_mount(   s, field, options) {
    while ((getline s <"/proc/self/mounts") > 0) if (split(s, field, " ") > 3) options[field[2]] = field[4]
    s = ("/usr/bin" in options) ? options["/usr/bin"] : ("/usr" in options) ? options["/usr"] : options["/"]
    return index("," s ",", ",nosuid,") > 0
}
# whether useradd gives homes into which their owners and nobody else can write, whether PAM or hosts.deny has a say,
# whether sudo has other plugins than its own, and the host keys that are whole: read here since awk is quick at it
function others(root,   file, s, kind, n, i, first, said, open, around, plugins, nosuid, field) {
    open = "yes"
    n = split("/etc/login.defs /usr/etc/login.defs", kind, " ")
    for (i = 1; i <= n; i++) {
        file = root kind[i]
        while ((getline s <file) > 0) {
            split(s, field, " ")
            if (field[1] == "HOME_MODE" && field[2] !~ /[1357][0145][0145]$/) open = "no"
            if (field[1] == "UMASK" && field[2] !~ /(^|[0246])[2367][2367]$/) open = "no"
        }
    }
    around = pam_has_a_say(root, "sshd") || pam_has_a_say(root, "sudo") || denied_host(root) != "" ? "yes" : "no"
    plugins = "no"
    nosuid = root == "" && nosuid_mount() ? "yes" : "no"
    file = root "/etc/sudo.conf"
    while ((getline s <file) > 0) if (split(s, field, " ") > 1)
        if (field[1] == "Plugin" && (field[3] != "sudoers.so" || field[4] != "") || field[1] == "Path" && field[2] == "plugin_dir") plugins = "yes"
    said = open " " around " " plugins " " nosuid
    n = split("rsa ecdsa ed25519", kind, " ")
    for (i = 1; i <= n; i++) {
        file = root "/etc/ssh/ssh_host_" kind[i] "_key"
        first = 1
        while ((getline s <file) > 0) {
            if (first && s !~ /^-----BEGIN / || s ~ /ENCRYPTED|\r$/) break
            if (s ~ /^b3BlbnNzaC1rZXktdjEA/ && s !~ /^b3BlbnNzaC1rZXktdjEAAAAABG5vbmU/) break # it wants a passphrase
            if (s ~ /^-----END /) { said = said " " kind[i]; break }
            first = 0
        }
        close(file)
    }
    return said
}
END {
    if (odd) exit 3
    if (direct && !has_account(root, "sshd")) plain = "no" # without it, it does not start
    print "flags " plain " " (unsure ? "yes" : "no") " " (opens ? "yes" : "no") " " (shuts ? "yes" : "no") (direct ? " " others(root) : "")
    print_all()
}
