function found(p, v) {
    sub(/^[ \t\r\n]+/, "", v)
    sub(/[ \t\r\n]+$/, "", v)
    if (p in wanted && !seen[p]++ && v != "" && length(v) <= 512 && v == clean(v)) print wanted[p], v
}
BEGIN {
    wanted["GoalState/Incarnation"] = "incarnation"
    wanted["GoalState/Container/ContainerId"] = "container"
    wanted["GoalState/Container/RoleInstanceList/RoleInstance/InstanceId"] = "instance"
}
