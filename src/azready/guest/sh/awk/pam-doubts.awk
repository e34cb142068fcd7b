BEGIN {
    if (uses_pam == "yes") pam(root, service)
    if (service == "sshd" && (denied = denied_host(root)) != "")
        print denied_in " may keep " user " out: " bare(denied)
}
