# What the rules of PAM for accounts and sessions have against the owner, as far as they can be read (pam.d(5)), and hosts.deny.
# modules is the folder of its modules. With quick, pam_hit says whether there is anything to say; else it is printed.
function bare(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
# a file that is being read is there: to look again would begin it anew
function there(file,   s, seen) {
    if (file in pam_open || is_folder(file)) return 1
    seen = (getline s <file)
    close(file)
    return seen >= 0
}
function is_folder(file) { return index(" " folders " ", " " file "/ ") > 0 }
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
function pam(root, service,   i, n, kinds, kind) {
    pam_service = service
    pam_of = service == "sshd" ? "" : " of " service
    pam_n = pam_read = 0
    split("", pam_told)
    pam_file(root, pam_path(root, service), "", 0)
    # types it has no rule of are those of "other"
    n = split(pam_types == "" ? "account session" : pam_types, kinds, " ")
    while (++kind <= n) {
        for (i = 1; i <= pam_n && pam_kind[i] != kinds[kind]; i++) ;
        if (i > pam_n) pam_file(root, pam_path(root, "other"), kinds[kind], 0)
    }
    if (!pam_n && modules != "" && service == "sshd")
        pam_say(there(root "/etc/pam.conf") ? "/etc/pam.conf alone may let " user " in: /etc/pam.d has no rules" : "PAM has no rules for sshd: it lets nobody in")
    for (i = 1; i <= pam_n; i++) if (pam_kind[i] == "") { pam_asked(root, i); pam_say(pam_doubt); kind = 0 }
    if (!kind || !pam_n) return
    for (kind = 1; kind <= n; kind++) pam_walk(root, kinds[kind])
}
# What is said of the rules of a type that are reached, if every module says yes of which nothing is known. If none does,
# PAM refuses (pam.conf(5)).
function pam_walk(root, kind,   i, doubted, said, doubts) {
    pam_rules = 0
    for (i = 1; i <= pam_n; i++) if (pam_kind[i] == kind) pam_rule_of[++pam_rules] = i
    said = pam_follow(root, 1, 0, 1, doubts)
    for (i = 1; i <= said; i++) if (doubts[i] != "") { pam_say(doubts[i]); doubted = 1 }
    if (!said || pam_refused && !doubted) pam_say("no " kind " rule of PAM for " pam_service " says yes: it lets nobody in")
}
# The doubts from a rule on, of which some were said before; how many there are. pam_refused: a jump led past the last.
# Where a module may say no, the way around it is tried, if nobody there says no without being asked to.
function pam_follow(root, at, said, doubting, doubts,   i, got, doubt, no, settings, around, n, j, fine) {
    pam_refused = 0
    while (at <= pam_rules && !pam_refused) {
        i = pam_rule_of[at]
        settings = pam_settings[i]
        pam_asked(root, i)
        got = pam_got
        doubt = pam_doubt
        if (got == "success" && doubt != "") {
            no = pam_action(settings, "default")
            fine = 0
            if (doubting && no ~ /^(ignore|[0-9]+)$/) {
                split("", around)
                j = pam_after(at, no)
                n = pam_refused ? 0 : pam_follow(root, j, said > 0, 0, around)
                fine = n && !pam_refused
                for (j = 1; j <= n; j++) if (around[j] != "") fine = 0
                for (j = 1; j <= said; j++) if (doubts[j] != "") fine = 0
                pam_refused = 0
            }
            if (!doubting || fine) doubt = ""
            else doubts[++said] = doubt
        }
        no = pam_action(settings, got)
        if (no == "reset") said = 0
        else if (no !~ /^(ignore|[0-9]+)$/) doubts[++said] = doubt
        at = pam_after(at, no)
    }
    return said
}
# where PAM goes on after a rule; pam_refused: behind the last, by a jump
function pam_after(at, action,   depth, i) {
    depth = pam_depth[pam_rule_of[at++]]
    pam_refused = 0
    if (action ~ /^[0-9]/) # so many rules of this depth are left out, each with its substack
        for (i = action + 0; i > 0 && !pam_refused; i--) {
            if (at > pam_rules) pam_refused = 1
            for (at++; at <= pam_rules && pam_depth[pam_rule_of[at]] > depth; at++) ;
        }
    else if (action == "done" || action == "die") while (at <= pam_rules && pam_depth[pam_rule_of[at]] >= depth) at++
    return at
}
function pam_action(settings, got,   n, w, i, action) {
    action = "bad"
    n = split(settings, w, " ")
    for (i = 1; i <= n; i++) if (index(w[i], "default=") == 1) action = substr(w[i], 9)
    for (i = 1; i <= n; i++) if (index(w[i], got "=") == 1) action = substr(w[i], length(got) + 2)
    return action
}
# sets pam_got, what PAM gets of the module of a rule, and pam_doubt, what is to be said of that
function pam_asked(root, i,   module, name) {
    module = pam_module[i]
    name = module
    sub(/.*\//, "", name)
    sub(/\..*/, "", name)
    pam_got = "success"
    pam_doubt = ""
    if (pam_settings[i] == "") {
        pam_got = "broken"
        pam_doubt = module ": " pam_service " lets nobody in"
    } else if (modules != "" && !there(module ~ /^\// ? root module : modules "/" module)) {
        pam_got = "module_unknown"
        pam_doubt = pam_in[i] (module ~ /\r$/ ? " has lines that end in CR LF" : " wants " module ", which is not there") ": " pam_service " lets nobody in"
    } else if (name == "pam_deny") {
        pam_got = pam_kind[i] == "session" ? "session_err" : "auth_err"
        pam_doubt = "pam_deny keeps everybody out" pam_of ": " pam_in[i]
    } else if (pam_asks(pam_kind[i], name, pam_rest[i])) {
        pam_doubt = pam_quick && name !~ /^pam_(limits|namespace|env)$/ ? "?" : pam_against(root, name, pam_rest[i])
        if (pam_doubt != "" && name ~ /^pam_(sss|ldap|winbind)$/) pam_got = "user_unknown"
        if (pam_doubt != "") pam_doubt = name " may keep " user " out" pam_of ": " pam_doubt
    }
}
# whether such a rule can keep somebody out; limits of * are not those of root, whom sudo makes
function pam_asks(kind, name, rest,   said) {
    if (name == "pam_debug") {
        said = pam_option(rest, kind == "auth" ? "auth" : kind == "account" ? "acct" : "open_session")
        return said != "" && said != "success"
    }
    if (name ~ /^pam_(setquota|namespace)$/) return kind == "session"
    if (name ~ /^pam_(userdb|shells|listfile|succeed_if)$/) return kind != "session" && !(name == "pam_succeed_if" && pam_regular(rest))
    if (name ~ /^pam_(ftp|rhosts)$/) return kind == "auth"
    if (name == "pam_env") return kind != "account"
    if (name == "pam_usertype") return kind != "session" && (" " rest " ") ~ / issystem /
    if (name ~ /^pam_(sss|ldap|winbind)$/) return kind == "account" && (" " rest " ") !~ / ignore_unknown_user /
    if (name == "pam_limits") return kind == "session" && (pam_service == "sshd" || rest ~ /conf=/)
    if (name == "pam_loginuid") return kind == "session" && rest ~ /require_auditd/
    if (name ~ /^pam_(nologin|localuser)$/) return kind != "session" && rest ~ /(^| )file=/
    return kind == "account" && name ~ /^pam_(time|wheel)$/ || name ~ /^pam_(exec|access)$/
}
# whether pam_succeed_if asks for a user id, or a group, that the owner has: uid >= 1000
function pam_regular(rest,   w) {
    gsub(/(^| )(quiet|use_uid)[^ ]*/, "", rest)
    if (split(rest, w, " ") != 3) return 0
    if (w[1] == "user" && w[2] == "ingroup") return !pam_quick && index(" " groups " ", " " w[3] " ") > 0
    return w[1] == "uid" && w[2] == ">=" && w[3] ~ /^[0-9]+$/ && (pam_quick || uid + 0 >= w[3] + 0)
}
function pam_option(rest, name,   n, w, i) {
    n = split(rest, w, " ")
    for (i = 1; i <= n; i++) if (index(w[i], name "=") == 1) return substr(w[i], length(name) + 2)
    return ""
}
function pam_limit(root, rest,   n, w, i, file, files, s, conf, found) {
    conf = pam_option(rest, "conf")
    if (conf != "" && !there(root conf)) return conf " is not there"
    file = "/security/limits.conf"
    if (conf == "" && !there(root "/etc" file) && !there(root "/usr/share/pam" file) && !there(root "/usr/etc" file))
        return "/etc" file " is not there"
    n = split(conf != "" ? root conf : root "/etc/security/limits.conf " limits, files, " ")
    for (i = 1; i <= n && found == ""; i++) {
        if (!there(files[i])) continue
        while (found == "" && (getline s <files[i]) > 0) {
            sub(/#.*/, "", s)
            if (split(s, w, " ") != 4 || w[3] != "chroot" && (w[4] !~ /^[0-9]+$/ || w[4] + 0 >= pam_least(w[3]))) continue
            if (pam_quick || pam_limited(w[1])) found = w[1] " " w[2] " " w[3] " " w[4]
        }
        close(files[i])
    }
    return found
}
# the least of an item of limits.conf(5) with which a shell can be had: KiB, programs, files, minutes, logins
function pam_least(item) {
    if (item ~ /^(as|data)$/) return 1024
    if (item == "stack") return 64
    return item == "nproc" ? 4 : item == "nofile" ? 10 : item ~ /^(cpu|maxlogins|maxsyslogins)$/
}
# whether a limit is for the owner: all, a name, @GROUP, %GROUP, or a range of user ids
function pam_limited(whom,   w) {
    if (whom ~ /^[@%]./) return index(" " groups " ", " " substr(whom, 2) " ") > 0
    if (whom ~ /^[0-9]*:[0-9]*$/ && whom != ":") {
        split(whom, w, ":")
        if (w[1] == "") w[1] = w[2]
        return uid + 0 >= w[1] + 0 && (w[2] == "" || uid + 0 <= w[2] + 0)
    }
    return whom == "*" || whom == "%" || whom == user
}
function pam_auditd(root,   n, folder, i) {
    n = split("/usr/bin /usr/sbin /usr/local/sbin /usr/local/bin /sbin /bin", folder, " ")
    for (i = 1; i <= n; i++) if (there(root folder[i] "/auditd")) return ""
    return "there is no auditd"
}
# The lines that PAM reads: without comments, joined at a backslash
function pam_file(root, path, only, depth,   s, whole, cut) {
    pam_open[root path] = 1
    pam_read++
    while (!is_folder(root path) && (getline s <(root path)) > 0) {
        cut = index(s, "#")
        if (cut) s = substr(s, 1, cut - 1)
        gsub(/\t/, " ", s)
        gsub(/^ +| +$/, "", s)
        if (!cut && s ~ /\\$/) whole = whole substr(s, 1, length(s) - 1) " "
        else if (s != "") {
            s = whole s
            whole = ""
            sub(/^ +/, "", s)
            pam_line(root, path, s, only, depth)
        }
    }
    if (whole != "") pam_rule(only, "", path " ends within a line, which PAM before 1.7 does not read", "", path, depth)
    close(root path)
    delete pam_open[root path]
}
# A line is type, control, module and arguments; [...] is one word (pam.d(5)).
function pam_line(root, path, s, only, depth,   kind, control, how, module, rest, settings) {
    kind = tolower(pam_word(s, " "))
    rest = pam_rest_of
    control = pam_word(rest, rest ~ /^\[/ ? "]" : " ")
    if (rest ~ /^\[/ && index(rest, "]")) control = control "]"
    module = pam_word(pam_rest_of, " ")
    rest = pam_rest_of
    gsub(/ +/, " ", rest)
    if (kind == "@include") pam_included(root, control, only, path, only, depth)
    sub(/^-+/, "", kind) # with - PAM is silent about a missing module, no more
    if (kind !~ /^(auth|account|session)$/ || only != "" && kind != only) return
    how = tolower(control)
    if (how == "include" || how == "substack") pam_included(root, module, kind, path, kind, depth + (how == "substack"))
    else {
        settings = module == "" ? "" : pam_control(control)
        gsub(/ +/, " ", s)
        pam_rule(kind, settings, settings == "" ? path " has a line that PAM does not understand (" s ")" : module, rest, path, depth)
    }
}
# the text up to the mark; pam_rest_of is what comes behind it
function pam_word(s, mark,   i) {
    i = index(s, mark)
    pam_rest_of = i ? substr(s, i + 1) : ""
    gsub(/^ +| +$/, "", pam_rest_of)
    return i ? substr(s, 1, i - 1) : s
}
function pam_included(root, name, kind, by, only, depth,   path) {
    path = name == "" ? "" : pam_path(root, name)
    if ((root path) in pam_open) pam_rule(kind, "", by " includes itself", "", by, depth)
    else if (pam_read >= 100) pam_rule(kind, "", "the rules of PAM include files without end", "", by, depth)
    else if (name == "") pam_rule(kind, "", by " includes nothing", "", by, depth)
    else if (!there(root path)) pam_rule(kind, "", by " includes " name ", which is not there", "", by, depth)
    else pam_file(root, path, only, depth)
}
# What follows from the answers of a module; "" where PAM does not understand it.
function pam_control(control,   n, w, i, action) {
    if (control !~ /^\[.*\]$/) {
        control = tolower(control)
        if (control == "required") return "success=ok default=bad"
        if (control == "requisite") return "success=ok default=die"
        if (control == "sufficient") return "success=done default=ignore"
        return control == "optional" ? "success=ok default=ignore" : ""
    }
    control = substr(control, 2, length(control) - 2)
    gsub(/ =/, "=", control)
    gsub(/= /, "=", control)
    gsub(/^ +| +$/, "", control)
    n = split(control, w, / +/)
    for (i = 1; i <= n; i++) {
        action = index(w[i], "=") ? substr(w[i], index(w[i], "=") + 1) : ""
        if (action !~ /^(ignore|bad|die|ok|done|reset|[0-9][0-9]?[0-9]?)$/ || action ~ /^0+$/) return ""
    }
    return control
}
function pam_rule(kind, settings, module, rest, file, depth) {
    pam_kind[++pam_n] = kind
    pam_settings[pam_n] = settings
    pam_module[pam_n] = module
    pam_rest[pam_n] = rest
    pam_in[pam_n] = file
    pam_depth[pam_n] = depth
}
function pam_say(text) {
    if (pam_quick) pam_hit = 1
    else if (!(text in pam_told)) print bare(text)
    pam_told[text] = 1
}
# a variable of pam_env.conf(5) that is asked for and not closed, which ends the session
function pam_unclosed(root, file,   s, whole, found, n, piece, i) {
    file = root (file == "" ? "/etc/security/pam_env.conf" : file)
    while (!is_folder(file) && found == "" && (getline s <file) > 0) {
        if (s ~ /^#/) continue
        sub(/#.*/, "", s)
        gsub(/\t/, " ", s)
        gsub(/^ +| +$/, "", s)
        if (s ~ /\\$/) { whole = whole substr(s, 1, length(s) - 1) " "; continue }
        whole = whole s
        s = whole
        gsub(/@[{]/, "${", s)
        n = split(s, piece, "[$][{]")
        for (i = 2; i <= n; i++) if (!index(piece[i], "}")) found = whole
        whole = ""
    }
    close(file)
    return found
}
function pam_against(root, name, rest,   s, last, file) {
    if (name ~ /^pam_(listfile|succeed_if|exec|wheel|setquota|userdb|ftp|rhosts|debug|usertype)$/) return rest == "" ? "?" : rest
    if (name ~ /^pam_(sss|ldap|winbind)$/) return "it knows no account of this machine"
    if (name == "pam_namespace") {
        file = "/security/namespace.conf"
        return there(root "/etc" file) || there(root "/usr/share/pam" file) || there(root "/usr/etc" file) ? "" : "/etc" file " is not there"
    }
    if (name == "pam_limits") return pam_limit(root, rest)
    if (name == "pam_loginuid") return pam_auditd(root)
    file = pam_option(rest, "file")
    if (name == "pam_nologin") return there(root file) ? file " is there" : ""
    if (name == "pam_localuser") {
        while ((getline s <(root file)) > 0) if (index(s, user ":") == 1) last = s
        close(root file)
        return last == "" ? rest : ""
    }
    if (name == "pam_shells") {
        if (!there(root "/etc/shells")) return ""
        if (shell == "") shell = "/bin/sh"
        if (!system("test -n \"$(find " root "/etc/shells -perm -2)\"")) return "everybody can write to /etc/shells"
        while ((getline s <(root "/etc/shells")) > 0) { gsub(/^[ \t\r]+|[ \t\r]+$/, "", s); if (s == shell) return "" }
        return shell " is not in /etc/shells"
    }
    if (name == "pam_env") return pam_unclosed(root, pam_option(rest, "conffile"))
    file = root "/etc/security/" (name == "pam_time" ? "time.conf" : "access.conf")
    if (name == "pam_access" && (s = pam_option(rest, "accessfile")) != "") {
        file = root s
        if (!there(file)) return s " is not there"
    }
    while ((getline s <file) > 0) if (name == "pam_time" ? s ~ /^[ \t]*[^# \t]/ : s ~ /^-/) last = s
    close(file)
    return last
}
# whether a line of hosts.allow or hosts.deny is about sshd: its list of daemons may have another behind EXCEPT
function about_sshd(s,   n, word, i, part, about) {
    sub(/#.*/, "", s)
    sub(/:.*/, "", s)
    gsub(/[,\t ]+/, " ", s)
    n = split(s, word, " ")
    for (i = n; i; i--) {
        if (word[i] == "ALL" || word[i] == "sshd") part = 1
        if (i == 1 || word[i] == "EXCEPT") { about = !about && part; part = 0 }
    }
    return about
}
# the line by which libwrap may keep clients out (hosts_access(5), hosts_options(5)); sets denied_in, its file
function denied_host(root,   s, n, i, option, allowed, found) {
    denied_in = "/etc/hosts.allow"
    while (found == "" && (getline s <(root denied_in)) > 0) if (about_sshd(s)) {
        allowed = 1
        n = split(s, option, ":")
        for (i = 3; i <= n; i++) if (option[i] ~ /^[ \t\r]*deny[ \t\r]*$/) found = s
    }
    close(root denied_in)
    if (found == "" && !allowed) {
        denied_in = "/etc/hosts.deny"
        while ((getline s <(root denied_in)) > 0) if (about_sshd(s)) found = s
        close(root denied_in)
    }
    gsub(/^[ \t\r]+|[ \t\r]+$/, "", found)
    return found
}
