function found(p, v, kind) {
    if (kind != "text" || v == "") return
    if (p == "adminPassword") {
        if (v ~ /[\r\n]/ || length(v) > 512) { print "password bad"; return }
        print v >(work "/password")
        print "password yes"
    } else if (p == "customData" && trim(v) != "") {
        printf "%s", v >(work "/custom-data")
        print "custom_data yes"
    }
}
