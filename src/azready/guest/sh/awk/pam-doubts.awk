BEGIN {
    if (uses_pam == "yes") pam(root, service)
    if (service == "sshd" && (denied = denied_host(root)) != "")
        print "/etc/hosts.deny may keep " user " out: " bare(denied)
}
