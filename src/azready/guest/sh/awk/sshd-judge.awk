function says(name,   v) { v = said[name]; sub(/\t.*/, "", v); return tolower(v) }
function part_of_user(s) { gsub(/@[^\t]*/, "", s); return s }
function without_hosts(s,   n, p, i, out) {
    n = split(s, p, "\t")
    for (i = 1; i <= n; i++) if (!index(p[i], "@")) out = out (out == "" ? "" : "\t") p[i]
    return out
}
# patterns with a host by which sshd lets the user in, or keeps them out
function by_address(word, name,   n, p, i) {
    n = split(said[word], p, "\t")
    for (i = 1; i <= n; i++)
        if (index(p[i], "@") && fits(user, part_of_user(p[i])) && !listed(user, without_hosts(said[word]), "\t"))
            print "bound sshd\047s " name " " p[i] " may keep " user " out, by where the connection comes from"
}
# says so where all that sshd offers is older than what clients of OpenSSH 9 ask for by themselves
function old(word, name, modern,   offered) {
    offered = says(word)
    if (offered == "" || offered ~ /^[-+^]/ || ("," offered) ~ (",(" modern ")")) return
    print "bound sshd offers nothing that clients of today take: " name " " offered
}
# what clients of today do not take of sshd, where it depends on more than one setting
function old_by_parts(   ciphers, macs, accepted, key, others) {
    ciphers = says("ciphers")
    macs = says("macs")
    if (macs ~ /^[^-+^]/ && ciphers != "" && ("," ciphers) !~ /,(chacha20-poly1305|aes128-gcm|aes256-gcm)/)
        if (("," macs ",") !~ /,(umac-|hmac-sha2-|hmac-sha1,|hmac-sha1-etm)/) print "bound sshd offers nothing that clients of today take: MACs " macs
    accepted = says("pubkeyacceptedalgorithms")
    if (!has_key || accepted !~ /^[^-+^]/ || listed("rsa-sha2-512 rsa-sha2-256", accepted, ",")) return
    close(keys)
    while ((getline key <keys) > 0) if ((" " key) !~ / ssh-rsa +AAAA/) others = 1
    if (!others) print "bound sshd takes RSA keys by SHA-1 alone, which clients of today do not use: PubkeyAcceptedAlgorithms"
}
# what sshd cannot expand of the place where our keys are: what comes later is not asked for
function unknown_token(   place, rest, i) {
    place = said["authorizedkeysfile"]
    sub(/\t.*/, "", place)
    rest = place
    gsub(/%%/, "", rest)
    while ((i = index(rest, "%"))) {
        rest = substr(rest, i + 1)
        if (rest !~ /^[huU]/) return "sshd does not know %" substr(rest, 1, 1) " (AuthorizedKeysFile " place ")"
    }
    return ""
}
function number_of_keys(   s, n) {
    close(keys)
    while ((getline s <keys) > 0) n++
    return n + 0
}
function able(method) {
    sub(/:.*/, "", method)
    method = tolower(method)
    return method == "publickey" ? has_key : method == "password" || method == "keyboard-interactive" ? has_password : 0
}
# what else may let a key in, where sshd reads no file of keys: a program of the image, or an authority
function elsewhere(   n, i, other, words) {
    if (says("authorizedkeysfile") != "none") return ""
    n = split("authorizedkeyscommand AuthorizedKeysCommand trustedusercakeys TrustedUserCAKeys", other, " ")
    for (i = 1; i < n; i += 2) if (said[other[i]] != "" && says(other[i]) != "none") {
        words = said[other[i]]
        gsub(/\t/, " ", words)
        return "sshd reads no file of keys: whether it takes a key is left to " other[i + 1] " " words
    }
    return ""
}
# why sshd takes none of the keys, by their types, their sizes, or the list of those that count no more
function no_key_fits(   n, i, key, word, kind, body, names, taken, accepted, least, bits, size, revoked, state, all, text, long, counts, krl, junk) {
    accepted = says("pubkeyacceptedalgorithms") ~ /^[^-+^]/
    least = says("requiredrsasize") ~ /^[0-9]+$/ ? says("requiredrsasize") + 0 : 0
    revoked = root != "" || says("revokedkeys") == "none" ? "" : said["revokedkeys"]
    gsub(/\t/, " ", revoked)
    if (!accepted && !least && revoked == "") return ""
    if (revoked != "" && revoked_folder == "") while ((state = (getline text <revoked)) > 0) {
        if (all == "" && text ~ /^SSHKRL/) krl = 1
        if (!krl && text ~ /^[ \t]*[^# \t\r]+[ \t\r]*$/) junk = 1
        all = all "\n" text
    }
    while ((getline key <keys) > 0) {
        n = split(key, word, " ")
        for (i = 1; i < n; i++) if (word[i] ~ /^(ssh|ecdsa|sk)-/ && word[i + 1] ~ /^AAAA/) break
        body = word[i + 1]
        if (kind == "") kind = word[i]
        names = word[i] == "ssh-rsa" ? "rsa-sha2-512 rsa-sha2-256 ssh-rsa" : word[i]
        if (listed(names, substr(said["pubkeyacceptedalgorithms"], 1), ",")) taken = 1
        # beside the modulus: lengths, the name of the type, a zero, and an exponent of 1 octet (PuTTY) to 3
        sub(/=+$/, "", body)
        bits = word[i] == "ssh-rsa" ? int((int(length(body) * 3 / 4) - 20) / 32) * 256 : 0
        if (size == "") size = bits
        if (bits <= 0 || bits >= least) long = 1
        if (!index(all, word[i + 1])) counts = 1
    }
    if (kind == "") return ""
    if (accepted && !taken) return "sshd takes no key of type " kind " (PubkeyAcceptedAlgorithms)"
    if (!long) return "sshd takes no RSA key of " size " bits (RequiredRSASize " least ")"
    if (state < 0) return "sshd takes no keys: RevokedKeys " revoked " is not there"
    if (junk || revoked_folder != "") return "sshd takes no keys: RevokedKeys " revoked " is no list of keys"
    return counts ? "" : "RevokedKeys " revoked " names the key"
}
# whether sshd has a host key that it may show, or that is not known
function host_key_fits(   n, m, i, j, path, name, kind) {
    n = split(said["hostkey"], path, "\t")
    m = split(says("hostkeyalgorithms"), name, ",")
    if (!n || !m || name[1] ~ /^[-+^]/) return 1
    if (said["hostkeyagent"] != "" && says("hostkeyagent") != "none" || said["hostcertificate"] != "" && says("hostcertificate") != "none") return 1
    for (i = 1; i <= n; i++) {
        sub(/.*\//, "", path[i])
        kind = index(path[i], "rsa") ? "rsa" : index(path[i], "ecdsa") ? "ecdsa" : index(path[i], "ed25519") ? "ed25519" : ""
        if (kind == "") return 1
        for (j = 1; j <= m; j++) if (index(name[j], kind) && name[j] !~ /-cert-|^sk-/) return 1
    }
    return 0
}
{ name = substr($0, 1, index($0, "\t") - 1); said[name] = substr($0, index($0, "\t") + 1) }
END {
    gsub(/@\*\t/, "\t", said["denyusers"]) # USER@* is USER
    sub(/@\*$/, "", said["denyusers"])
    gsub(/@\*\t/, "\t", said["allowusers"])
    sub(/@\*$/, "", said["allowusers"])
    if (said["denyusers"] != "" && listed(user, without_hosts(said["denyusers"]), "\t")) shut = "DenyUsers names " user
    else if (said["allowusers"] != "" && !listed(user, part_of_user(said["allowusers"]), "\t"))
        shut = "AllowUsers does not name " user
    else if (said["denygroups"] != "" && listed(groups, said["denygroups"], "\t")) shut = "DenyGroups names " user
    else if (said["allowgroups"] != "" && !listed(groups, said["allowgroups"], "\t"))
        shut = "AllowGroups does not name " user
    else if (says("maxsessions") == "0") shut = "MaxSessions 0 opens no session"
    else if (says("maxauthtries") == "0") shut = "MaxAuthTries 0 takes no try"
    else if (says("refuseconnection") == "yes") shut = "RefuseConnection yes takes no connection"
    else if (says("persourcemaxstartups") == "0") shut = "PerSourceMaxStartups 0 takes no connection"
    if (shut != "") print "shut sshd\047s " shut
    if (!host_key_fits()) print "unfit sshd has no host key of the kinds that it may show (HostKeyAlgorithms " says("hostkeyalgorithms") ")"
    if (says("pubkeyauthentication") == "no") print "keys sshd takes no keys (PubkeyAuthentication no)"
    else if (says("authorizedkeysfile") == "none" && elsewhere() == "")
        print "keys sshd reads no file of keys (AuthorizedKeysFile none)"
    else if ((refused = unknown_token()) != "") print "keys " refused
    else if ((refused = no_key_fits()) != "") print "keys " refused
    if (says("passwordauthentication") == "no" && says("kbdinteractiveauthentication") == "no")
        print "passwords sshd takes no passwords (PasswordAuthentication no)"
    n = split(said["authenticationmethods"], lists, "\t")
    for (i = 1; i <= n; i++) {
        m = split(lists[i], method, ",")
        fine = 1
        wanted = 0 # another key each time
        for (j = 1; j <= m; j++) {
            if (!able(method[j])) fine = 0
            if (tolower(method[j]) ~ /^publickey(:|$)/) wanted++
        }
        if (wanted > 1 && wanted > number_of_keys()) fine = 0
        if (fine || tolower(lists[i]) == "any") n = 0
    }
    if (n) {
        gsub(/\t/, " ", said["authenticationmethods"])
        print "methods sshd wants more than one way to log in (AuthenticationMethods " said["authenticationmethods"] ")"
    }
    if (has_key && elsewhere() != "") print "bound " elsewhere()
    by_address("allowusers", "AllowUsers")
    by_address("denyusers", "DenyUsers")
    old("ciphers", "Ciphers", "chacha20-poly1305|aes(128|192|256)-ctr|aes(128|256)-gcm")
    old("kexalgorithms", "KexAlgorithms", "curve25519-|ecdh-sha2-|diffie-hellman-group(14-sha256|16|18|-exchange-sha256)|sntrup761|mlkem768")
    old("hostkeyalgorithms", "HostKeyAlgorithms", "rsa-sha2|ecdsa-|ssh-ed25519|sk-")
    old_by_parts()
    if (("\t" said["setenv"]) ~ /\tPATH=/) {
        gsub(/\t/, " ", said["setenv"])
        print "bound sshd\047s SetEnv " said["setenv"] " holds for " user
    }
    n = split("forcecommand ForceCommand chrootdirectory ChrootDirectory", other, " ")
    for (i = 1; i < n; i += 2) if (said[other[i]] != "" && says(other[i]) != "none") {
        gsub(/\t/, " ", said[other[i]])
        print "bound sshd\047s " other[i + 1] " " said[other[i]] " holds for " user
    }
}
