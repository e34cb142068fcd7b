#!/bin/sh
# The published Bash sample, written anew from its description: five tries for the goal state, ids by grep, the
# incarnation always 1, and a loop of posts whose counter never advances. (Pauses are 1 s here, 5 s there.)
# Argument: the WireServer's URL.
attempts=1
until [ "$attempts" -gt 5 ]; do
    goal_state=$(curl --silent --fail --header 'x-ms-version: 2012-11-30' "$1/machine?comp=goalstate") && break
    sleep 1
    attempts=$((attempts + 1))
done
container=$(echo "$goal_state" | grep ContainerId | sed 's/\s*<\/*ContainerId>//g')
instance=$(echo "$goal_state" | grep InstanceId | sed 's/\s*<\/*InstanceId>//g')
report="<Health><GoalStateIncarnation>1</GoalStateIncarnation><Container><ContainerId>$container</ContainerId>\
<RoleInstanceList><Role><InstanceId>$instance</InstanceId><Health><State>Ready</State></Health></Role>\
</RoleInstanceList></Container></Health>"
attempts=1
until [ "$attempts" -gt 5 ]; do
    curl --silent --fail --header 'x-ms-version: 2012-11-30' --header 'x-ms-agent-name: azure-vm-register' \
        --header 'Content-Type: text/xml;charset=utf-8' --data "$report" "$1/machine?comp=health" && break
    sleep 1
done
