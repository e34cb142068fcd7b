function found(p, v,   name) {
    if (substr(p, 1, length(platform)) == platform) {
        name = substr(p, length(platform) + 1)
        if (name == "w:PreprovisionedVm") print "pooled", clean(trim(v))
        else if (name == "w:PreprovisionedVMType" || name == "w:PreprovisionedVmType") print "pool", clean(trim(v))
        else if (name == "w:ProvisionGuestProxyAgent") print "proxy_agent", clean(trim(v))
    }
    if (p "/" == set && sets++) bad()
    if (substr(p, 1, length(set)) != set) return
    name = substr(p, length(set) + 1)
    if (name == "w:SSH/w:PublicKeys/w:PublicKey/w:Value") { keys(v, key_number++); return }
    if (index(name, "/") || substr(name, 1, 2) != "w:") return
    if (seen[name]++) bad()
    if (name == "w:HostName") print "host", clean(trim(v))
    else if (name == "w:UserName") print "user", clean(trim(v))
    else if (name == "w:DisableSshPasswordAuthentication") print "no_password", clean(trim(v))
    else if (name == "w:UserPassword" && v != "") {
        if (v ~ /[\r\n]/ || length(v) > 512) { print "password bad"; return }
        print v >(work "/password")
        print "password yes"
    } else if (name == "w:CustomData" && trim(v) != "") {
        printf "%s", v >(work "/custom-data")
        print "custom_data yes"
    }
}
BEGIN {
    set = "o:Environment/w:ProvisioningSection/w:LinuxProvisioningConfigurationSet/"
    platform = "o:Environment/w:PlatformSettingsSection/w:PlatformSettings/"
    key_number = 0
}
END { if (!sets) exit 1 }
