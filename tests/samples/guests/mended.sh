#!/bin/bash
# Report ready as the published Bash variant does, mended: a fresh goal state for each try, time limits, an end.
wireserver=http://168.63.129.16
tag() { printf '%s' "$goalstate" | tr -d '\r\n' | sed -n "s:.*<$1>\([^<]*\)</$1>.*:\1:p"; }
for _ in $(seq 240); do
    goalstate=$(curl -sS --fail --max-time 5 -H 'x-ms-version: 2012-11-30' "$wireserver/machine?comp=goalstate")
    container=$(tag ContainerId) instance=$(tag InstanceId) incarnation=$(tag Incarnation)
    if [ -n "$container" ] && [ -n "$instance" ] && [ -n "$incarnation" ]; then
        body="<Health><GoalStateIncarnation>$incarnation</GoalStateIncarnation><Container>"
        body="$body<ContainerId>$container</ContainerId><RoleInstanceList><Role><InstanceId>$instance</InstanceId>"
        body="$body<Health><State>Ready</State></Health></Role></RoleInstanceList></Container></Health>"
        curl -sS --fail --max-time 5 -X POST -H 'x-ms-version: 2012-11-30' -H 'x-ms-agent-name: azure-vm-register' \
            -H 'Content-Type: text/xml; charset=utf-8' -d "$body" "$wireserver/machine?comp=health" && exit 0
    fi
    sleep 5
done
exit 1
