#!/bin/sh
# Tell Azure how the first boot of this VM goes: Ready, failed and why, or still at work. It does nothing else.
#
#   report.sh [--wait-for UNIT [--every S]]   Ready; with UNIT: once that is up, or at once that it failed, and why
#   report.sh --in-progress [--every S]       still at work: once, or every S seconds until the deadline
#   report.sh --failed TEXT                   provisioning failed, and why
#   also: --deadline S (1200: of the wait, and of the report), --wireserver HOST[:PORT], --platform azure (ask no DMI)
# Needs curl. A VM is reported once: $STATE_DIRECTORY/reported names it.
# Exit: 0 accepted or nothing to do, 2 not accepted, 64 usage.

AGENT=azure-report/0.1.0
ASSET_TAG=7783-7084-3265-9085-8269-3286-77 # DMI's chassis asset tag of every VM of Azure
server=168.63.129.16 deadline=1200 every='' failed='' told='' unit='' in_progress='' platform=auto

say() { printf 'azure-report: %s\n' "$*" >&2; }

# first_line FILE: sets value.
first_line() {
    value=''
    [ ! -r "$1" ] || read -r value <"$1"
}

# Sets now: seconds of a clock that nobody sets.
clock() { IFS='. ' read -r now _ </proc/uptime; }

# ask METHOD PATH CURL-WORD...: one request, never through a proxy. Sets answer, head and all, and why: "" for a 2xx.
ask() {
    method=$1 path=$2
    shift 2
    answer=$(curl -q -sS -i --noproxy '*' --connect-timeout 5 --max-time 10 --max-filesize 1048576 \
        -X "$method" "$@" "http://$server$path" 2>&1 | tr -d '\000')
    case $answer in
        HTTP/1.?' 2'??*) why='' ;;
        HTTP/*) why=$(printf '%s\n' "$answer" | sed -n '1s/^[^ ]* \([^[:cntrl:]]*\).*/\1/p') ;;
        *) why=${answer:-no answer} ;;
    esac
    wait=$(printf '%s\n' "$answer" | sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,3\}\)[^0-9]*$/\1/p' | tail -n 1)
}

# element NAME: what stands in the first such element of the answer, as it is, escaped.
element() { printf '%s\n' "$answer" | tr -d '\r\n' | sed -n "s:</$1>.*::;s:.*<$1>::p"; }

# Incarnation, container and instance as they are at this moment: all three may change from one try to the next.
goal_state() {
    ask GET '/machine?comp=goalstate' -H 'x-ms-version: 2012-11-30' -H "x-ms-agent-name: $AGENT"
    [ -z "$why" ] || return
    incarnation=$(element Incarnation) container=$(element ContainerId) instance=$(element InstanceId)
    case $answer in
        *'</GoalState>'*) [ -n "$incarnation" ] && [ -n "$container" ] && [ -n "$instance" ] && return ;;
    esac
    why='the goal state is not complete yet'
}

# post STATE SUBSTATUS TEXT: one try: in XML, for the goal state; in JSON, which needs none, where there is none or
# patience is at its end. Sets why.
post() {
    goal_state
    if [ -z "$why" ]; then
        text=$(printf '%s\n' "$3" | sed 's/&/\&amp;/g;s/</\&lt;/g;s/>/\&gt;/g')
        details="<Details><SubStatus>$2</SubStatus><Description>$text</Description></Details>"
        health="<Health><State>$1</State>${2:+$details}</Health>"
        role="<Role><InstanceId>$instance</InstanceId>$health</Role>"
        body="<Health><GoalStateIncarnation>$incarnation</GoalStateIncarnation><Container><ContainerId>$container"
        body="$body</ContainerId><RoleInstanceList>$role</RoleInstanceList></Container></Health>"
        ask POST '/machine?comp=health' -H 'x-ms-version: 2012-11-30' -H "x-ms-agent-name: $AGENT" \
            -H 'Content-Type: text/xml; charset=utf-8' --data-binary "$body"
        return
    fi
    case $why in
        400* | 403* | 404* | 405* | 501*) ;; # these answers mean: not in this way
        *) [ "$now" -ge "$patience" ] || return ;;
    esac
    text=$(printf '%s\n' "$3" | sed 's/[\\"]/\\&/g')
    details="\"details\":{\"subStatus\":\"$2\",\"description\":\"$text\"}"
    ask POST /provisioning/health -H "x-ms-guest-agent-name: $AGENT" -H 'Content-Type: application/json' \
        --data-binary "{\"state\":\"$1\"${2:+,$details}}"
}

# report STATE SUBSTATUS TEXT [once]: again and again, until the platform accepts or the deadline has come.
report() {
    line=$(printf %s "$3" | LC_ALL=C tr '\001-\037\177-\377' ' ' | cut -c 1-800) # escaped, 4,096 may be sent
    case $2:$line in :* | *:*[!\ ]*) ;; *) line='no reason was given' ;; esac
    clock
    pause=1 until=$((now + deadline)) patience=$((now + (deadline > 240 ? 60 : deadline / 4)))
    while :; do
        post "$1" "$2" "$line"
        [ -n "$why" ] || break
        say "not reported yet: $why"
        clock
        [ "${wait:-0}" -gt $pause ] && [ "$wait" -le 120 ] || wait=$pause
        [ -z "${4-}" ] && [ $((now + wait)) -le $until ] || return 2
        sleep "$wait"
        [ $pause -ge 5 ] || pause=$((pause + 1))
    done
    say "reported $1 $2 $line"
}

# Say every S seconds that work goes on, until the unit is up, has failed, or the deadline. Sets told and failed (why).
work() {
    clock
    [ "${every:-0}" -gt 0 ] || every=60
    end=$((now + deadline)) known=''
    while :; do
        clock
        left=$((end > now ? end - now : 0))
        [ $left -lt "$every" ] || left=$every
        if [ -n "$unit" ]; then known=$(/bin/sh "${0%/*}/await-unit" "$unit" "$left"); else sleep "$left"; fi
        clock
        if [ -n "$known" ] || [ "$now" -ge $end ]; then break; fi
        report NotReady Provisioning "waiting for ${unit:-the end}" once
    done
    [ "$known" = up ] || told=yes failed=${known:-$unit is not up in time}
}

while [ $# -gt 0 ]; do
    option=$1
    [ "$1" = --in-progress ] || [ $# -gt 1 ] || option=''
    case $option:${2-} in
        --in-progress:*) in_progress=yes ;;
        --deadline:*[!0-9]* | --every:*[!0-9]*) option='' ;;
        --deadline:*) deadline=$2 ;;
        --every:*) every=$2 ;;
        --failed:*) failed=$2 told=yes ;;
        --wait-for:*) unit=$2 ;;
        --wireserver:*) server=$2 ;;
        --platform:*) platform=$2 ;;
        *) option='' ;;
    esac
    [ -n "$option" ] || { say "$1 is no option, or lacks its value" && exit 64; }
    [ "$option" = --in-progress ] || shift
    shift
done
first_line /sys/class/dmi/id/chassis_asset_tag
[ "$platform" = azure ] || [ "$value" = $ASSET_TAG ] || { say 'not on Azure: nothing to do' && exit; }
first_line "${CREDENTIALS_DIRECTORY:-/sys/class/dmi/id}/product_uuid"
vm=${value#unknown}
first_line "${STATE_DIRECTORY:-/nonexistent}/reported"
[ -z "$vm" ] || [ "$value" != "$vm" ] || { say "VM $vm is reported already: nothing to do" && exit; }
if [ -n "$in_progress" ]; then
    report NotReady Provisioning 'still at work' once
    code=$?
    [ -z "$every" ] || work
    exit $code
fi
[ -z "$unit" ] || work
[ -z "$told" ] || { report NotReady ProvisioningFailed "$failed"; exit; }
report Ready '' '' || exit
[ -z "$vm" ] || [ ! -d "${STATE_DIRECTORY-}" ] || echo "$vm" >"$STATE_DIRECTORY/reported"
