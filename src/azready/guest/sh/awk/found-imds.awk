function found(p, v, kind) {
    if (p in wanted && (kind == "text" || p in policy)) print wanted[p], clean(trim(v))
    else if (p ~ /^compute\.publicKeys\.[0-9]+(\.keyData)?$/) {
        number = p
        gsub(/[^0-9]/, "", number)
        given[number] = 1
        keys(kind == "text" && p ~ /D/ ? v : "", number)
    } else if (p == "compute.userData" && kind == "text" && trim(v) != "") {
        printf "%s", v >(work "/user-data")
        print "user_data yes"
    }
}
BEGIN {
    wanted["compute.name"] = "vm_name"
    wanted["compute.vmId"] = "vm_id"
    wanted["compute.location"] = "location"
    wanted["compute.osProfile.adminUsername"] = "user"
    wanted["compute.osProfile.computerName"] = "computer_name"
    wanted["compute.osProfile.disablePasswordAuthentication"] = "no_password"
    wanted["extended.compute.hasCustomData"] = "has_custom_data"
    wanted["extended.compute.ppsType"] = "pool"
    policy["compute.osProfile.disablePasswordAuthentication"] = policy["extended.compute.hasCustomData"] = 1
}
END {
    if (opened["compute"] != "{") exit 1
    for (number = 0; opened["compute.publicKeys"] == "[" && ("compute.publicKeys." number in opened || number in given); number++)
        if (!(number in given)) keys("", number)
}
