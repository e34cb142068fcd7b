# What the rules of PAM for accounts and sessions have against the owner, as far as they can be read (pam.d(5)), and hosts.deny.
# modules is the folder of its modules. With quick, pam_hit says whether there is anything to say; else it is printed.
function bare(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
# a file that is being read is there: to look again would begin it anew
function there(file,   s, seen) {
    if (file in pam_open) return 1
    seen = (getline s <file)
    close(file)
    return seen >= 0
}
function pam_path(root, name) {
    if (name ~ /^\//) return name
    if (!there(root "/etc/pam.d/" name) && there(root "/usr/lib/pam.d/" name)) return "/usr/lib/pam.d/" name
    return "/etc/pam.d/" name
}
function pam_has_a_say(root, service) {
    pam_quick = 1
    pam_hit = 0
    pam(root, service)
    return pam_hit
}
# what includes another says so itself: a service without a file has the rules of "other"
function pam(root, service,   path) {
    pam_service = service
    pam_jumped = 0
    path = pam_path(root, service)
    if (!there(root path)) path = pam_path(root, "other")
    pam_file(root, path, "")
}
function pam_file(root, path, only,   s, more, n, w, kind, end, control, i, rest) {
    if ((root path) in pam_open) return
    pam_open[root path] = 1
    while ((getline s <(root path)) > 0) {
        while (s ~ /\\$/ && (getline more <(root path)) > 0) s = substr(s, 1, length(s) - 1) " " more
        sub(/#.*/, "", s)
        n = split(s, w, " ")
        if (n > 1 && w[1] == "@include") pam_file(root, pam_path(root, w[2]), only)
        kind = tolower(w[1])
        sub(/^-+/, "", kind) # with - PAM is silent about a missing module, no more
        if (n < 3 || kind != "account" && kind != "session" || only != "" && kind != only) continue
        control = tolower(w[2])
        for (end = 3; w[2] ~ /^\[/ && w[end - 1] !~ /\]$/ && end < n; end++) control = control " " tolower(w[end])
        if (control == "include" || control == "substack") { pam_file(root, pam_path(root, w[end]), kind); continue }
        rest = ""
        for (i = end + 1; i <= n; i++) rest = rest (rest == "" ? "" : " ") w[i]
        pam_rule(root, kind, control, w[end], rest, path)
    }
    close(root path)
    delete pam_open[root path]
}
function pam_rule(root, kind, control, module, rest, path,   name, of_service, gone) {
    if (control == "required" || control == "requisite" || control ~ /=(die|bad)/) {
        name = module
        sub(/.*\//, "", name)
        sub(/\..*/, "", name)
        of_service = pam_service == "sshd" ? "" : " of " pam_service
        gone = modules != "" && !there(module ~ /^\// ? root module : modules "/" module)
        if (gone && control !~ /module_unknown=ignore/)
            pam_say(path " wants " module ", which is not there: " pam_service " lets nobody in")
        else if (kind == "account" && name == "pam_deny" && !pam_jumped) pam_say("pam_deny keeps everybody out" of_service ": " path)
        else if (kind == "account" && name ~ /^pam_(access|shells|time|listfile|succeed_if)$/) {
            if (pam_quick) { pam_hit = 1; return }
            rest = pam_against(root, name, rest)
            if (rest != "") pam_say(name " may keep " user " out" of_service ": " rest)
        }
    }
    # a jump over the next lines, or to the end
    if (kind == "account" && (control == "sufficient" || control ~ /success=(d|[0-9])/)) pam_jumped = 1
}
function pam_say(text) { if (pam_quick) pam_hit = 1; else print bare(text) }
function pam_against(root, name, rest,   s, last, file) {
    if (name == "pam_listfile" || name == "pam_succeed_if") return rest == "" ? "?" : rest
    if (name == "pam_shells") {
        if (!there(root "/etc/shells")) return ""
        if (shell == "") shell = "/bin/sh"
        while ((getline s <(root "/etc/shells")) > 0) { gsub(/^[ \t\r]+|[ \t\r]+$/, "", s); if (s == shell) return "" }
        return shell " is not in /etc/shells"
    }
    file = root "/etc/security/" (name == "pam_time" ? "time.conf" : "access.conf")
    while ((getline s <file) > 0) if (name == "pam_time" ? s ~ /^[ \t]*[^# \t]/ : s ~ /^-/) last = s
    close(file)
    return last
}
# the last line of hosts.deny that is about sshd, where hosts.allow does not speak of it (hosts_access(5))
function denied_host(root,   s, daemons, found) {
    while ((getline s <(root "/etc/hosts.deny")) > 0) {
        daemons = s
        sub(/#.*/, "", daemons)
        sub(/:.*/, "", daemons)
        gsub(/[,\t ]+/, " ", daemons)
        if (index(" " daemons " ", " ALL ") || index(" " daemons " ", " sshd ")) found = s
    }
    if (found == "") return ""
    while ((getline s <(root "/etc/hosts.allow")) > 0) if (index(s, "sshd")) return ""
    gsub(/^[ \t\r]+|[ \t\r]+$/, "", found)
    return found
}
