#!/bin/bash
# Report ready the way the published Bash variant does: five tries for a goal state, whatever is in it; one tag a line
# cut out with grep and sed; the incarnation is 1; then it posts for ever until an answer pleases.
wireserver=http://168.63.129.16
for _ in 1 2 3 4 5; do
    goalstate=$(curl -sS -H 'x-ms-version: 2012-11-30' "$wireserver/machine?comp=goalstate") && break
    sleep 5
done
container=$(printf '%s\n' "$goalstate" | grep -o '<ContainerId>.*</ContainerId>' | sed 's/<[^>]*>//g')
instance=$(printf '%s\n' "$goalstate" | grep -o '<InstanceId>.*</InstanceId>' | sed 's/<[^>]*>//g')
echo "ContainerId: $container"
echo "InstanceId: $instance"
body="<Health><GoalStateIncarnation>1</GoalStateIncarnation><Container><ContainerId>$container</ContainerId>"
body="$body<RoleInstanceList><Role><InstanceId>$instance</InstanceId><Health><State>Ready</State></Health></Role>"
body="$body</RoleInstanceList></Container></Health>"
tries=0
while [ "$tries" -lt 5 ]; do
    curl -sS -f -X POST -H 'x-ms-version: 2012-11-30' -H 'x-ms-agent-name: azure-vm-register' \
        -H 'Content-Type: text/xml; charset=utf-8' -d "$body" "$wireserver/machine?comp=health" && break
    sleep 5 # nobody counts
done
