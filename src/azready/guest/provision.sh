#!/bin/sh
# shellcheck disable=SC2015,SC2016,SC2295 # awk programs in quotes; "a && b || c" where b cannot fail; blanks in patterns
# Provision this VM on Azure and report it ready: the program for images without Python. docs/guest.md describes it;
# provision.py is the same in Python, and one suite of contract tests holds both to every word. Made from the parts in sh/
# of azready's source by scripts/join-guest: changes belong there.
#
# Runs under dash, busybox ash, bash and mksh. Needs awk, dd, head, mkdir, mv, sleep and the like (busybox has them
# all), and one HTTP client: curl, GNU wget, busybox wget, or bash alone.
#
# Two rules hold it together. Nothing from outside is ever evaluated: documents are read by two small awk programs that
# hand over one value a line, globbing is off, and every expansion is quoted. And functions that find something out
# leave it in the variable named in their comment instead of printing it, because a subshell costs a process and would
# swallow the exit of `fail`.

set -fu
umask 022
LC_ALL=C IFS=' 	
' PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export LC_ALL PATH
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY CDPATH ENV BASH_ENV POSIXLY_CORRECT

VERSION=0.2.0
AGENT=azure-provisioning
ASSET_TAG=7783-7084-3265-9085-8269-3286-77
STEPS='hostname user sudo keys password host-keys sshd custom-data entropy grow hooks ovf-copy access'
BODY_LIMIT=1048576
SYSTEMD_IMDS=/usr/lib/systemd/systemd-imds
NEWLINE='
'
TAB='	'

USAGE='usage: provision.sh [run] [OPTION...]                 apply what the owner asked for, then report
       provision.sh report [--failed TEXT] [OPTION...] only report: Ready, or that provisioning failed and why
       provision.sh report --wait-for UNIT [--every S] Ready once UNIT is up, or at once that it failed, and why
       provision.sh report --in-progress [--every S]   still at work: once, or every S seconds until the deadline
       provision.sh --steps | --version | --help

  --root DIR          act on the tree under DIR
  --imds URL          base address of IMDS
  --wireserver URL    base address of the WireServer
  --medium PATH       the provisioning medium: a folder that holds ovf-env.xml, a device, or none
  --platform WHAT     auto, or azure: do not ask the chassis asset tag
  --vm-id GUID        do not ask DMI or IMDS
  --config FILE       settings, instead of /etc/azure-provisioning.conf
  --deadline SECONDS  all waiting together
  --report FORM       auto, xml, json or none
  --only STEP,...     only these steps; state is not written and nothing is reported
  --skip STEP,...     all but these
  --dry-run           say what would change, change nothing, report nothing
  --failed TEXT       with report: provisioning failed, with TEXT as the reason'

# ---- words ----

# mksh has no printf of its own, and printf of a file system shows its arguments to everybody: secrets never go there.
if [ -n "${KSH_VERSION-}" ]; then
    line() { print -r -- "$*"; }
    bare() { print -rn -- "$*"; }
    carriage_return() { print '\r'; }
else
    line() { printf '%s\n' "$*"; }
    bare() { printf %s "$*"; }
    carriage_return() { printf '\r\n'; }
fi
# What a tool, a hook or the platform wrote reaches no console as anything but text.
say() {
    case $* in
        *[!\ -~]*) line "$*" | awk "$SHARED$PLAIN_TEXT" >&2 ;;
        *) line "$*" >&2 ;;
    esac
}
warn() { say "warning: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
    say "$1"
    exit 64
}

# has WORD LIST: LIST is separated by spaces.
has() {
    case $1,\ $2\  in
        *\ *,*) return 1 ;;
        *,*\ "$1"\ *) return 0 ;;
    esac
    return 1
}

# lower TEXT: sets lowered.
lower() {
    lowered=$1
    for pair in Aa Bb Cc Dd Ee Ff Gg Hh Ii Jj Kk Ll Mm Nn Oo Pp Qq Rr Ss Tt Uu Vv Ww Xx Yy Zz; do
        case $lowered in
            *[A-Z]*) ;;
            *) return ;;
        esac
        capital=${pair%?}
        while :; do
            case $lowered in
                *"$capital"*) lowered=${lowered%%"$capital"*}${pair#?}${lowered#*"$capital"} ;;
                *) break ;;
            esac
        done
    done
}

# ---- time ----

# Sets now, in hundredths of a second since some moment.
clock() {
    if read -r now _ 2>/dev/null </proc/uptime; then
        now=$((${now%.*} * 100 + 1${now#*.} - 100))
    else
        now=$(($(date +%s) * 100))
    fi
}

# Sets unix_time, in seconds since 1970, and boot, when this machine was started.
epoch() {
    clock
    [ -n "${boot-}" ] || boot=$(($(date +%s) - now / 100))
    unix_time=$((boot + now / 100))
}

# nap HUNDREDTHS, or whole seconds where sleep knows no others; never past `limit`.
nap() {
    nap=$1
    clock
    [ $((now + nap)) -le "$limit" ] || nap=$((limit - now))
    [ "$nap" -gt 0 ] || return 0
    nap=$((nap + 100))
    sleep "$((nap / 100 - 1)).${nap#"${nap%??}"}" 2>/dev/null || sleep $(((nap - 1) / 100))
}

# longer DELAY MOST: sets delay to half as much again.
longer() {
    delay=$(($1 * 3 / 2))
    [ "$delay" -le "$2" ] || delay=$2
}

# limited SECONDS COMMAND...: sets timed_out to yes when it ran too long. GNU, busybox since 1.30, older busybox, or by
# ourselves; each has its own exit code for that, which a command may have, too: the clock tells.
limited() {
    timed_out=''
    [ -n "$timeout_form" ] || guess_timeout
    clock
    deadline_at=$((now + $1 * 100 - 5))
    timed "$@"
    ended=$?
    if [ -n "$timeout_guessed" ]; then
        timeout_guessed=''
        # an older one that knows no -k has started nothing
        [ $ended = 0 ] || { find_timeout && [ $timeout_form = new ]; } || {
            timed "$@"
            ended=$?
        }
    fi
    case $ended in
        124 | 137 | 143)
            clock
            [ "$now" -lt $deadline_at ] || timed_out=yes
            ;;
    esac
    return $ended
}

timed() {
    case $timeout_form in
        new) timeout -k 5 "$@" ;;
        old) timeout -t "$@" ;;
        none) { watched "$@"; } 7<&0 ;;
    esac
}

# Sets timeout_form. A program of that name is most likely one that knows -k: the first use of it will tell.
guess_timeout() {
    timeout_form=none
    ! have timeout || timeout_form=new timeout_guessed=yes
}

# By trying.
find_timeout() {
    timeout_form=none
    if timeout -k 5 9 cat </dev/null 2>/dev/null; then
        timeout_form=new
    elif timeout -t 9 cat </dev/null 2>/dev/null; then
        timeout_form=old
    fi
}

# A job of a shell reads /dev/null, unless it is told otherwise; fd 7 is what the command shall read.
watched() {
    seconds=$1
    shift
    "$@" <&7 7<&- 9>&- &
    child=$!
    (
        while [ "$seconds" -gt 0 ] && kill -0 $child; do
            sleep 1
            seconds=$((seconds - 1))
        done
        kill -9 $child
    ) >/dev/null 2>&1 7<&- 9>&- &
    watchdog=$!
    wait $child 2>/dev/null
    ended=$?
    kill -9 $watchdog 2>/dev/null
    return $ended
}

# ---- files ----

# store FILE MODE [OWNER]: standard input becomes FILE, whole or not at all. The folder is synced with the others by
# `settle`, before anything is said to be done. A new folder that waits for its owner (`unowned`) gets the file's.
store() {
    [ ! -d "$1" ] || return 1
    temporary=${1%/*}/.${1##*/}.azp-tmp
    { [ ! -e "$temporary" ] && [ ! -h "$temporary" ]; } || rm -f "$temporary"
    # the mask gives the file its mode at its birth: no chmod to start for the usual ones
    case $2 in
        0600) umask 066 ;;
        0644) umask 022 ;;
        0440) umask 0226 ;;
        0400) umask 0266 ;;
        *) umask 077 ;;
    esac
    dd bs=65536 conv=fsync of="$temporary" 2>/dev/null
    written=$?
    umask 022
    [ $written = 0 ] && { [ -z "${3-}" ] || chown "$3" ${unowned:+"$unowned"} "$temporary"; } &&
        { has "$2" '0600 0644 0440 0400' || chmod "$2" "$temporary"; } && mv -f "$temporary" "$1" || {
        rm -f "$temporary"
        return 1
    }
    unowned=''
    touched "${1%/*}"
}

# rewrite PATH: what $work/text holds becomes the content of a file of the tree, with the mode and the owner that it has.
rewrite() {
    ! cmp -s "$work/text" "$root$1" || return 0
    changed=yes
    forget
    if [ -n "$dry_run" ]; then
        say "would write $1"
        return
    fi
    owner=''
    [ "$me" != 0 ] || owner=$(stat -L -c %u:%g "$root$1")
    store "$root$1" "0$(stat -L -c %a "$root$1")" "$owner" <"$work/text" || step_failed "$1: cannot be written"
}

# fixed PATH: a folder that cannot be written: on a read-only file system, for root.
fixed() { [ -d "$root$1" ] && [ ! -w "$root$1" ]; }

touched() {
    case $NEWLINE$dirty$NEWLINE in
        *"$NEWLINE$1$NEWLINE"*) ;;
        *) dirty=$dirty${dirty:+$NEWLINE}$1 ;;
    esac
}

# The names in the folders touched reach the disk: coreutils and newer busybox sync single ones, old ones everything.
settle() {
    # shellcheck disable=SC2086 # one word a line
    [ -z "$dirty" ] || (IFS=$NEWLINE && sync $dirty 2>/dev/null) || sync
    dirty=''
}

# put PATH MODE: standard input becomes the file PATH of the tree. Sets changed to yes when it was not that already.
# Never behind a pipe, where it would set and end nothing but a subshell: what is to be written is put into a file first.
put() {
    if [ -z "$dry_run" ] && [ ! -e "$root$1" ] && [ ! -h "$root$1" ]; then
        changed=yes
        store "$root$1" "$2" || step_failed "$1: cannot be written"
        return
    fi
    cat >"$work/new"
    put_text "$1" "$2" "$work/new"
}

# put_text PATH MODE FILE: the same of a file that is there.
put_text() {
    if [ -f "$root$1" ] && [ ! -h "$root$1" ] && alike "$3" "$root$1" && [ "$(stat -c 0%a "$root$1")" = "$2" ]; then
        return 0
    fi
    changed=yes
    if [ -n "$dry_run" ]; then
        say "would write $1"
    else
        store "$root$1" "$2" <"$3" || step_failed "$1: cannot be written"
    fi
}

# alike FILE FILE: they hold the same. Most that do not differ in their first lines, which needs no program.
alike() {
    one_line "$1"
    first=$value
    one_line "$2"
    [ "$value" = "$first" ] && cmp -s "$1" "$2"
}

# folder PATH MODE: made where missing, with that mode.
folder() {
    [ -z "$dry_run" ] || return 0
    if [ ! -d "$root$1" ]; then
        # shellcheck disable=SC2174 # parents are ordinary folders
        mkdir -p -m "$2" "$root$1" 2>"$work/trouble" || step_failed "$(cat "$work/trouble")"
        case $1 in
            /run/*) ;; # in memory
            *) touched "$root${1%/*}/" ;;
        esac
        return
    fi
    chmod "$2" "$root$1"
}

# ---- programs ----

# try WORD...: run a program with what is in $work/input as its input; its output goes to $work/output. Sets error.
try() { try_for 120 "$@"; }

# try_for SECONDS WORD...: the same, for no longer than that.
try_for() {
    most=$1
    shift
    if [ -n "$dry_run" ]; then
        say "would run $*"
        return 0
    fi
    forget
    limited "$most" "$@" <"$work/input" >"$work/output" 2>&1 && return 0
    if [ -n "$timed_out" ]; then
        error="$1: ran too long"
    else
        error="$1: exit $ended: $(awk '{ sub(/\r$/, "") } NF { before = last; last = $0 } END { print before (before == "" ? "" : "; ") last }' "$work/output")"
        error=${error%: }
    fi
    return $ended
}

# The same, for programs without which the step has failed.
run() { try "$@" || step_failed "$error"; }

step_failed() { fail "failure in step $step" "error=$1"; }

# Everything between two steps lives in a folder of ours, in memory where there is such a place. Sets CR, too: it is read
# from there, since most shells name it only by a process.
make_work() {
    # the folder of the lock with it, where that can be: one program for both
    set -- "$root/run/azure-provisioning"
    [ "$verb" = run ] && [ -z "$dry_run" ] && [ ! -e "$1" ] && [ ! -h "$1" ] && [ -w "$root/run" ] || set --
    umask 077
    for place in "${TMPDIR:-/run}" /run /dev/shm /tmp; do
        work=$place/.azp-$$
        if [ -d "$place" ] && [ -w "$place" ] && mkdir "$work" "$@" 2>/dev/null; then
            umask 022
            run_made=${1-}
            carriage_return >"$work/input"
            read -r CR <"$work/input"
            : >"$work/input"
            return
        fi
    done
    say 'no place for temporary files'
    exit 2
}

# ---- HTTP ----

# Which client there is, by what it can do: headers, a body, no proxy. The first that fits. Wget2 is none of them: it
# shows no headers and has other options.
choose_client() {
    client='' wget=''
    if have curl; then
        client=curl
    else
        ! have wget || which_wget wget
        [ -n "$client" ] || ! have busybox || which_wget busybox wget
        [ -n "$client" ] || ! have bash || client=bash_tcp
    fi
    [ -n "$client" ]
}

# which_wget WORD...: GNU's says its version, and busybox, which has none, shows its help; it must be built with long
# options.
which_wget() {
    case $("$@" --version 2>&1) in
        GNU\ Wget\ [0-9]*) [ $# = 2 ] || client=gnu_wget ;;
        *BusyBox*--header*) client=busybox_wget wget="$*" ;;
    esac
}

# http METHOD URL HEADER... : the body of a POST is $work/request, the answer's body goes to $work/body.
# Sets status (empty when no whole answer came), phrase, retry_after, trouble, and size, in bytes of the body.
http() {
    method=$1 url=$2 status='' phrase='' retry_after='' trouble='' size='' bounded=''
    shift 2
    [ ! -e "$work/failed" ] || rm -f "$work/failed"
    : >"$work/head"
    : >"$work/body"
    : >"$work/trouble"
    "http_$client" "$@"
    read_head "$work/head"
    if [ -e "$work/failed" ]; then
        read -r failed <"$work/failed"
        # GNU wget says 8 (6 for 401) and busybox 1 for an answer that is an error: an answer all the same.
        case $client,$failed,$status in
            gnu_wget,[68],?* | busybox_wget,1,[3-5]*) ;;
            *)
                status=''
                said_by_client
                trouble=${trouble:-$client ended with $failed}
                ;;
        esac
    elif [ -z "$status" ]; then
        trouble='no HTTP answer'
    fi
    # what is no more than the kernel let through is read whole
    [ -n "$size$bounded" ] && [ -z "$trouble" ] || size=$(($(wc -c <"$work/body")))
    if [ "${size:-0}" -gt "$BODY_LIMIT" ]; then
        status='' trouble="the answer has more than $BODY_LIMIT bytes"
    fi
}

# Sets trouble: the first line that is none of an answer's head, which both wgets show on the same output, set in.
said_by_client() {
    while IFS= read -r trouble; do
        case $client,$trouble in
            *wget,\ *) ;;
            *) return ;;
        esac
    done <"$work/trouble"
    trouble=''
}

# read_head FILE: sets status, phrase, retry_after.
read_head() {
    status='' phrase='' retry_after=''
    while IFS=" $TAB" read -r name value rest; do
        case $name in
            HTTP/1.*) status=${value%"$CR"} phrase=${rest%"$CR"} retry_after='' ;;
            [Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]:) retry_after=${value%"$CR"} ;;
        esac
    done <"$1"
    case $status in
        [1-5][0-9][0-9]) ;;
        *) status='' ;;
    esac
}

# The headers as options of curl and of both wgets differ only in the name of the option. What curl writes is counted by
# itself, and bounded by the kernel, in blocks of 512 or 1,024 bytes as the shell has it.
http_curl() {
    for header in "$@"; do
        shift
        set -- "$@" -H "$header"
    done
    [ "$method" = GET ] || set -- "$@" --data-binary "@$work/request"
    set -- -sS --noproxy '*' --connect-timeout 2 -m 10 -X "$method" "$@" -w '%{http_code} %{size_download}\n' \
        -D "$work/head" -o "$work/body" "$url"
    ended=2
    [ -z "$goal_too" ] || curl_both "$@"
    if [ $ended = 2 ]; then # one that is older than --fail-early (7.52) has asked nothing
        ended=0
        bounded_curl "$@" || ended=$?
        [ $ended != 0 ] || read -r _ size <"$work/size"
    fi
    size=${size%%[.,]*} # older ones write 0.000
    [ $ended = 0 ] || {
        echo $ended >"$work/failed"
        size=''
    }
}

# The same, and behind an answer that is no error the goal state, for the first report: one curl for both costs half of
# two. What the goal state says may change: it serves for half a minute, and once.
curl_both() {
    ended=0
    bounded_curl --fail-early -f "$@" --next -sS --noproxy '*' --connect-timeout 1 -m 3 -H 'x-ms-version: 2012-11-30' \
        -H "x-ms-agent-name: $AGENT" -w '%{http_code} %{size_download}\n' -D "$work/goal.head" -o "$work/goal.xml" \
        "$wireserver/machine?comp=goalstate" || ended=$?
    { read -r _ size && read -r goal_status goal_size; } <"$work/size" || goal_status=''
    case $ended,$goal_status in
        0,[1-5]*)
            clock
            [ "${goal_size%%[.,]*}" -gt "$BODY_LIMIT" ] || goal_from=$wireserver goal_until=$((now + 3000))
            ;;
        22,* | *,???) ended=0 ;; # answered: with an error, or it is the goal state that was not
    esac
}

bounded_curl() (
    bound
    exec curl -q "$@" 2>"$work/trouble" >"$work/size"
)

# What is started from here writes no file that is larger than an answer may be.
bound() {
    trap '' XFSZ
    ulimit -f $((BODY_LIMIT / 512 + 2)) 2>/dev/null
}

http_gnu_wget() {
    for header in "$@"; do
        shift
        set -- "$@" "--header=$header"
    done
    [ "$method" = GET ] || set -- "$@" --method="$method" --body-file="$work/request"
    bounded_wget wget -q -S --no-config --no-proxy --connect-timeout=2 --read-timeout=10 -t 1 --max-redirect=0 "$@"
}

# bounded_wget WORD...: the head of the answer and what wget says come together, and are told apart by how they begin.
bounded_wget() {
    [ -n "$timeout_form" ] || guess_timeout # once: below it would be forgotten
    bounded=yes
    (
        bound
        limited 12 "$@" -O "$work/body" "$url" 2>"$work/head"
    ) || echo $? >"$work/failed"
    [ ! -e "$work/failed" ] || cat "$work/head" >"$work/trouble"
}

# Busybox: no -T, with which 1.35 of Debian crashes; the body as a word, since --post-file came only with 1.34 (it holds
# no secret); the content type must be a header of ours or it sends its own.
http_busybox_wget() {
    for header in "$@"; do
        shift
        set -- "$@" --header "$header"
    done
    if [ "$method" != GET ]; then
        IFS= read -r request <"$work/request"
        set -- "$@" --post-data "$request"
    fi
    # shellcheck disable=SC2086 # one word or two
    bounded_wget $wget -q -S -Y off "$@"
}

http_bash_tcp() {
    rest=${url#http://}
    authority=${rest%%/*}
    server=${authority%:*} port=80
    [ "$server" = "$authority" ] || port=${authority##*:}
    {
        line "$method /${rest#*/} HTTP/1.1$CR${NEWLINE}Host: $authority$CR${NEWLINE}Connection: close$CR"
        for header in "$@"; do line "$header$CR"; done
        [ "$method" = GET ] || line "Content-Length: $(($(wc -c <"$work/request")))$CR"
        line "$CR"
        [ "$method" = GET ] || cat "$work/request"
    } >"$work/wire"
    # shellcheck disable=SC2016 # bash expands it
    { limited 12 bash -c 'exec 3<>"/dev/tcp/$0/$1" || exit 7; cat "$2" >&3; cat <&3' "$server" "$port" "$work/wire" \
        2>"$work/trouble" || echo $? >"$work/failed"; } | head -c $((BODY_LIMIT + 65536)) |
        awk -v head="$work/head" "$READ_ANSWER" >"$work/body" || echo answer >"$work/failed"
}

# An HTTP answer as it came: head to a file, body to the output; a body shorter than it said is an error.
READ_ANSWER='
function hex(s,   i, n) {
    for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
    return n
}
!body {
    print >head
    line = tolower($0)
    sub(/\r$/, "", line)
    if (line ~ /^content-length:/) { size = line; sub(/^[^:]*:[ \t]*/, "", size) }
    if (line ~ /^transfer-encoding:.*chunked/) chunked = 1
    if (line == "") body = 1
    next
}
{ text = text $0 "\n" }
END {
    if (!body) exit 1
    if (!chunked) {
        if (size != "" && length(text) < size + 0) exit 1
        printf "%s", (size == "" ? text : substr(text, 1, size))
        exit 0
    }
    while (match(text, /^[0-9a-fA-F]+/)) {
        size = hex(substr(text, 1, RLENGTH))
        text = substr(text, index(text, "\n") + 1)
        if (!size) exit 0
        if (length(text) < size) exit 1
        printf "%s", substr(text, 1, size)
        text = substr(text, size + 3)
    }
    exit 1
}
'

# ---- documents ----

# Both readers call found(PATH, VALUE) for each value; what is wanted goes out as one line each, NAME and VALUE, with
# control characters turned into blanks: no name may hold either, so each fails its own check.
SHARED='
function bad() { wrong = 1; exit 1 }
function clean(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
function fit(s, most) {
    if (length(s) <= most) return s
    while (most > 0 && substr(s, most + 1, 1) ~ /[\200-\277]/) most--
    return substr(s, 1, most)
}
function sequence(s) {
    if (s ~ /^[\302-\337][\200-\277]/) return 2
    if (s ~ /^\357\277[\276\277]/) return 0
    if (s ~ /^(\340[\240-\277]|[\341-\354\356\357][\200-\277]|\355[\200-\237])[\200-\277]/) return 3
    if (s ~ /^(\360[\220-\277]|[\361-\363][\200-\277]|\364[\200-\217])[\200-\277][\200-\277]/) return 4
    return 0
}
function valid(s,   out, n) {
    while (match(s, /[\200-\377]/)) {
        out = out substr(s, 1, RSTART - 1)
        s = substr(s, RSTART)
        n = sequence(s)
        out = out (n ? substr(s, 1, n) : "\357\277\275")
        s = substr(s, n ? n + 1 : 2)
    }
    return out s
}
function utf8(n) {
    if (n < 32) return n == 10 ? "\n" : n == 13 ? "\r" : n == 9 ? "\t" : " "
    if (n < 128) return sprintf("%c", n)
    if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    if (n >= 55296 && n < 57344) return "?"
    if (n < 65536) return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
    return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, 128 + int(n / 64) % 64, 128 + n % 64)
}
'

PLAIN_TEXT='
{ print valid(clean($0)) }
'

# JSON, cut at its quotation marks: the records are by turns what is outside of strings and what is inside.
READ_JSON='
function code(hex,   i, n, d) {
    for (i = 1; i <= 4; i++) {
        d = index("0123456789abcdef", tolower(substr(hex, i, 1)))
        if (!d || length(hex) < 4) bad()
        n = n * 16 + d - 1
    }
    return n
}
function unescape(s,   out, i, c, n) {
    while ((i = index(s, "\\")) > 0) {
        c = substr(s, i + 1, 1)
        out = out substr(s, 1, i - 1)
        s = substr(s, i + 2)
        if (c == "u") {
            n = code(s)
            s = substr(s, 5)
            if (n >= 55296 && n < 56320 && substr(s, 1, 2) == "\\u") {
                n = 65536 + (n - 55296) * 1024 + code(substr(s, 3)) - 56320
                s = substr(s, 7)
            }
            out = out utf8(n)
        } else {
            i = index("\"\\/bfnrt", c)
            if (c == "" || !i) bad()
            out = out substr("\"\\/??\n\r\t", i, 1)
        }
    }
    return out s
}
function open(kind) {
    if (state != "value" && state != "first") bad()
    base = here()
    if (++depth > 64) bad()
    kinds[depth] = kind
    count[depth] = 0
    paths[depth] = base
    state = kind == "{" ? "key or }" : "first"
}
function shut(kind) {
    if (!depth || kinds[depth] != kind) bad()
    depth--
    state = "after"
    opened[substr(here(), 2)] = kind
}
function here() {
    if (!depth) return ""
    return kinds[depth] == "{" ? paths[depth] "." key[depth] : paths[depth] "." count[depth]
}
function value(v, kind,   p) {
    if (state != "value" && state != "first" || !depth) bad()
    p = substr(here(), 2)
    state = "after"
    found(p, v, kind)
}
function text(s) {
    if (state == "key" || state == "key or }") {
        key[depth] = s
        state = ":"
    } else value(s, "text")
}
function outside(s,   c) {
    while (s != "") {
        if (match(s, /^[ \t\r\n]+/)) { s = substr(s, RLENGTH + 1); continue }
        c = substr(s, 1, 1)
        if (c == "{" || c == "[") open(c)
        else if (c == "}" && (state == "after" || state == "key or }")) shut("{")
        else if (c == "]" && (state == "after" || state == "first")) shut("[")
        else if (c == ":" && state == ":") state = "value"
        else if (c == "," && state == "after" && depth) {
            count[depth]++
            state = kinds[depth] == "{" ? "key" : "value"
        } else if (match(s, /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)/)) {
            c = substr(s, 1, RLENGTH)
            value(c, "bare")
            s = substr(s, RLENGTH + 1)
            continue
        } else bad()
        s = substr(s, 2)
    }
}
BEGIN { RS = "\""; state = "value" }
NR == 1 { sub(/^\357\273\277/, "") }
{
    if (!inside) {
        outside($0)
        inside = 1
        string = ""
        next
    }
    if ($0 ~ /[\001-\037]/) bad()
    string = string $0
    match($0, /\\*$/)
    if (RLENGTH % 2) { string = string "\""; next }
    text(unescape(string))
    inside = 0
}
END { if (wrong || state != "after" || depth) exit 1 }
'

# XML with namespaces, cut at each "<": no DTD, no entities but the five of XML itself.
READ_XML='
function number(s, base,   i, n, d) {
    if (s == "") bad()
    for (i = 1; i <= length(s); i++) {
        d = index("0123456789abcdef", tolower(substr(s, i, 1)))
        if (!d || d > base) bad()
        n = n * base + d - 1
        if (n > 1114111) bad()
    }
    return n
}
function entity(name) {
    if (name in known) return known[name]
    if (substr(name, 1, 2) == "#x") return utf8(allowed(number(substr(name, 3), 16)))
    if (substr(name, 1, 1) == "#") return utf8(allowed(number(substr(name, 2), 10)))
    bad()
}
function allowed(n) {
    if (n < 32 && n != 9 && n != 10 && n != 13 || n >= 55296 && n < 57344 || n == 65534 || n == 65535) bad()
    return n
}
function unescape(s,   out, i, j) {
    while ((i = index(s, "&")) > 0) {
        out = out substr(s, 1, i - 1)
        s = substr(s, i + 1)
        j = index(s, ";")
        if (!j) bad()
        out = out entity(substr(s, 1, j - 1))
        s = substr(s, j + 1)
    }
    return out s
}
function named(qualified, level,   i, prefix) {
    i = index(qualified, ":")
    prefix = i ? substr(qualified, 1, i - 1) : ""
    for (; level > 0; level--) if ((level, prefix) in space) {
        i = i ? substr(qualified, i + 1) : qualified
        prefix = space[level, prefix]
        return (prefix in short ? short[prefix] : prefix == "" ? "" : "?:") i
    }
    if (prefix != "") bad()
    return qualified
}
function attributes(s,   name, v) {
    while (match(s, /^[ \t\r\n]+[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*[ \t\r\n]*=[ \t\r\n]*/)) {
        name = substr(s, 1, RLENGTH)
        s = substr(s, RLENGTH + 1)
        gsub(/[ \t\r\n=]/, "", name)
        if (!match(s, /^("[^"]*"|\047[^\047]*\047)/)) bad()
        v = unescape(substr(s, 2, RLENGTH - 2))
        s = substr(s, RLENGTH + 1)
        if (name == "xmlns") space[depth, ""] = v
        else if (substr(name, 1, 6) == "xmlns:") space[depth, substr(name, 7)] = v
    }
    return s
}
function start(s,   name, empty, pair, part) {
    if (!match(s, /^[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*/)) bad()
    if (!depth && done++) bad()
    name = substr(s, 1, RLENGTH)
    if (++depth > 32) bad()
    raw[depth] = name
    s = attributes(substr(s, RLENGTH + 1))
    if (!match(s, /^[ \t\r\n]*\/?>/)) bad()
    empty = index(substr(s, 1, RLENGTH), "/")
    path[depth] = path[depth - 1] "/" named(name, depth)
    content[depth] = ""
    if (empty) finish()
    characters(substr(s, RLENGTH + 1))
}
function finish(   pair, part) {
    found(substr(path[depth], 2), content[depth])
    for (pair in space) {
        split(pair, part, SUBSEP)
        if (part[1] == depth) delete space[pair]
    }
    depth--
}
function stop(s,   name) {
    if (!match(s, /^[^ \t\r\n>]+[ \t\r\n]*>/)) bad()
    name = substr(s, 1, RLENGTH - 1)
    sub(/[ \t\r\n]+$/, "", name)
    if (!depth || name != raw[depth]) bad()
    s = substr(s, RLENGTH + 1)
    finish()
    characters(s)
}
function characters(s) {
    if (!depth) { if (s !~ /^[ \t\r\n]*$/) bad(); return }
    if (index(s, "]]>")) bad()
    content[depth] = content[depth] unescape(s)
}
function until(mark, s,   i) {
    held = held s
    i = index(held, mark)
    if (!i) { held = held "<"; return 0 }
    after = substr(held, i + length(mark))
    held = substr(held, 1, i - 1)
    return 1
}
function markup(s) {
    if (mode == "" && s ~ /^!--/) { mode = "-->"; s = substr(s, 4) }
    else if (mode == "" && s ~ /^!\[CDATA\[/ && depth) { mode = "]]>"; s = substr(s, 9) }
    else if (mode == "" && s ~ /^\?/) {
        if (s !~ /^\?[A-Za-z_:\200-\377][-A-Za-z0-9_:.\200-\377]*([ \t\r\n]|\?>)/) bad()
        mode = "?>"
        s = substr(s, 2)
    }
    else if (mode == "" && s ~ /^!/) bad()
    else if (mode == "" && s ~ /^\//) { stop(substr(s, 2)); return }
    else if (mode == "") { start(s); return }
    if (!until(mode, s)) return
    if (mode == "-->" && held ~ /--|-$/) bad()
    if (mode == "]]>") content[depth] = content[depth] held
    mode = held = ""
    characters(after)
}
function declaration(s,   blank, is) {
    blank = "[ \t\r\n]"
    is = blank "*=" blank "*"
    return s ~ "^[?]xml" blank "+version" is "(\"1[.][0-9]+\"|\0471[.][0-9]+\047)" \
        "(" blank "+encoding" is "(\"[A-Za-z][-A-Za-z0-9._]*\"|\047[A-Za-z][-A-Za-z0-9._]*\047))?" \
        "(" blank "+standalone" is "(\"yes\"|\"no\"|\047yes\047|\047no\047))?" blank "*[?]>"
}
BEGIN {
    RS = "<"
    known["amp"] = "&"; known["lt"] = "<"; known["gt"] = ">"; known["quot"] = "\""; known["apos"] = "\047"
    short["http://schemas.dmtf.org/ovf/environment/1"] = "o:"
    short["http://schemas.microsoft.com/windowsazure"] = "w:"
}
NR == 1 { sub(/^\357\273\277/, ""); if ($0 !~ /^[ \t\r\n]*$/) bad(); before = $0; next }
mode == "" && /^\?[xX][mM][lL][ \t\r\n?]/ { if (NR > 2 || before != "" || !declaration($0)) bad() }
{ markup($0) }
END { if (wrong || depth || !done || mode != "") exit 1 }
'

# Ssh keys: one value may hold several, and old portals broke keys in their middle. Each becomes a line of
# authorized_keys, or the reason why not. A body is fields behind their lengths, the first the name of its type (RFC 4253
# section 6.6, RFC 5656, RFC 8709, OpenSSH's PROTOCOL.u2f), and ends with the last of them.
KEYS='
function trim(s) { sub(/^[ \t\r\n]+/, "", s); sub(/[ \t\r\n]+$/, "", s); return s }
function keys(v, number,   lines, n, i, key, some) {
    gsub(/\r/, "\n", v)
    n = split(v, lines, "\n")
    for (i = 1; i <= n; i++) {
        sub(/^(\357\273\277|[ \t])+/, "", lines[i])
        if (i > 1 && key_start(lines[i])) { some += side_by_side(key, number); key = "" }
        key = key lines[i]
    }
    some += side_by_side(key, number)
    if (!some) print "bad_key", "key", number, "is empty and was skipped"
}
function first_word(s) { sub(/[ \t].*/, "", s); return s }
function key_start(s,   at) {
    if (first_word(s) in is_kind) return 1
    at = options_end(s)
    while (at > 1 && substr(s, at, 1) ~ /^[ \t]$/) at++
    return at > 1 && (first_word(substr(s, at)) in is_kind) ? at : 0
}
function options_end(s,   at, i, from) {
    at = 1
    options_seen = 0
    for (;;) {
        match(substr(s, at), /^[-A-Za-z0-9]*/)
        option_name[++options_seen] = tolower(substr(s, at, RLENGTH))
        if (!(option_name[options_seen] in key_option)) return 0
        at += RLENGTH
        option_valued[options_seen] = substr(s, at, 2) == "=\""
        if (option_valued[options_seen]) {
            from = at += 2
            for (;;) {
                i = index(substr(s, at), "\"")
                if (!i) return 0
                at += i
                if (substr(s, at - 2, 1) != "\\") break
            }
            option_value[options_seen] = substr(s, from, at - 1 - from)
        }
        if (substr(s, at, 1) != ",") return at
        at++
    }
}
function side_by_side(s, number,   start, t, n, w, i, at) {
    s = trim(s)
    if (s == "") return 0
    start = key_start(s)
    if (start) {
        t = substr(s, start)
        gsub(/\t/, " ", t)
        n = split(t, w, / /)
        at = start + length(w[1]) + 1 + length(w[2])
        for (i = 3; i < n; i++) {
            if ((w[i] in is_kind) && w[i + 1] ~ /^AAAA/)
                return check(trim(substr(s, 1, at - 1)), number) + side_by_side(substr(s, at), number)
            at += 1 + length(w[i])
        }
    }
    return check(s, number)
}
# what keeps sshd from taking a key with the options that were seen last (auth-options.c of OpenSSH)
function refused_option(   i, j, name, value, named) {
    for (i = 1; i <= options_seen; i++) named[option_name[i]]++
    for (i = 1; i <= options_seen; i++) {
        name = option_name[i]
        value = option_value[i]
        j = name ~ /^(command|from|principals)$/ && named[name] > 1
        if (j || option_valued[i] != (key_option[name] == 2) || option_valued[i] && !option_takes(name, value))
            return "sshd does not take its option " name
        if (name == "principals" && !("cert-authority" in named)) return "its option principals is for authorities (cert-authority)"
        if (name == "expiry-time" && day_of(substr(value, 1, 4) + 0, substr(value, 5, 2) + 0, substr(value, 7, 2) + 0) < yesterday())
            return "its expiry-time has passed"
    }
    return ""
}
function option_takes(name, value) {
    if (name == "environment") return value ~ /^[A-Za-z0-9_]+=/
    if (name == "expiry-time") {
        if (value !~ /^[0-9]+[Zz]?$/ || substr(value, 5, 2) !~ /^(0[1-9]|1[0-2])$/ || substr(value, 7, 2) !~ /^(0[1-9]|[12][0-9]|3[01])$/) return 0
        sub(/[Zz]$/, "", value)
        return length(value) ~ /^(8|12|14)$/
    }
    if (name == "from") return value != ""
    if (name == "permitopen" || name == "permitlisten" && index(value, ":")) return value ~ /.:[^:]*$/ && is_port(value)
    if (name == "permitlisten") return is_port(value)
    return name != "tunnel" || value == "any" || value ~ /^[0-9]+$/ && value + 0 <= 1073741824
}
function is_port(value) {
    sub(/.*:/, "", value)
    return value ~ /[^0-9]/ || value != "" && value + 0 >= 1 && value + 0 <= 65535
}
# the number of a day of the Gregorian calendar, since 1970; a year that begins in March ends with the leap day
function day_of(year, month, day) {
    month = (month + 9) % 12
    if (month >= 10) year--
    return 365 * year + int(year / 4) - int(year / 100) + int(year / 400) + int((month * 306 + 5) / 10) + day - 719469
}
# what was over then is over in every time zone
function yesterday(   seconds) {
    "date +%s" | getline seconds
    close("date +%s")
    return int(seconds / 86400) - 1
}
function check(key, number,   start, options, kind, body, comment, least, refused) {
    start = key_start(key)
    options = start > 1 ? trim(substr(key, 1, start - 1)) " " : ""
    kind = first_word(substr(key, start ? start : 1))
    comment = start ? substr(key, start + length(kind)) : ""
    sub(/^[ \t]+/, "", comment)
    body = first_word(comment)
    comment = clean(substr(comment, length(body) + 1))
    gsub(/^ +| +$/, "", comment)
    comment = fit(comment, 256)
    sub(/ +$/, "", comment)
    least = "bad_key key " number " was skipped: "
    if (index(key, "BEGIN ")) print least "it is a certificate, not an ssh key"
    else if (!start || body == "") print least "it does not begin with a known key type"
    else if (!base64(body)) print least "its body is not base64"
    else if (!is_key(kind, body)) print least "its body is not a key of that type, or is cut"
    else if (start > 1 && (refused = refused_option()) != "") print least refused
    else if (!known_key[kind, body]++) print "key", options kind, body (comment == "" ? "" : " " comment)
    return 1
}
function base64(s) {
    if (length(s) % 4 || s !~ /^[A-Za-z0-9+\/]*=?=?$/) return 0
    return s ~ /=$/ ? s ~ /([AQgw]=|[AEIMQUYcgkosw048])=$/ : 1
}
function digit(c) { return c == "=" ? 0 : index(alphabet, c) - 1 }
function byte(s, i,   g, n) {
    g = int(i / 3) * 4 + 1
    n = (digit(substr(s, g, 1)) * 64 + digit(substr(s, g + 1, 1))) * 4096
    n += digit(substr(s, g + 2, 1)) * 64 + digit(substr(s, g + 3, 1))
    i %= 3
    return i == 0 ? int(n / 65536) : i == 1 ? int(n / 256) % 256 : n % 256
}
function field(s, i,   out, at) {
    for (at = starts[i]; at < starts[i] + sizes[i]; at++) out = out sprintf("%c", byte(s, at))
    return out
}
function is_key(kind, s,   total, at, n, size, i, curve, point) {
    total = length(s) / 4 * 3 - (s ~ /=$/) - (s ~ /==$/)
    for (at = 0; at < total; at += 4 + size) {
        size = 0
        for (i = 0; i < 4; i++) size = size * 256 + byte(s, at + i)
        if (at + 4 + size > total || ++n > 4) return 0
        starts[n] = at + 4
        sizes[n] = size
    }
    if (!n || sizes[1] != length(kind) || field(s, 1) != kind) return 0
    if (kind == "ssh-rsa") return n == 3 && sizes[2] && sizes[2] <= 8 && sizes[3] >= 128 && byte(s, starts[2]) < 128 && byte(s, starts[3]) < 128
    if (kind ~ /^sk-/) {
        if (!sizes[n]) return 0
        n--
        kind = substr(kind, 4)
        sub(/@.*/, "", kind)
    }
    if (kind == "ssh-ed25519") return n == 2 && sizes[2] == 32
    curve = substr(kind, 12)
    point = curve == "nistp256" ? 65 : curve == "nistp384" ? 97 : 133
    return n == 3 && sizes[2] == 8 && field(s, 2) == curve && sizes[3] == point && byte(s, starts[3]) == 4
}
BEGIN {
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    n = split("ssh-rsa ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 " \
        "sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com", part, " ")
    for (i = 1; i <= n; i++) is_kind[part[i]] = 1
    n = split("agent-forwarding cert-authority no-agent-forwarding no-port-forwarding no-pty no-touch-required no-user-rc " \
        "no-verify-required no-x11-forwarding port-forwarding pty restrict touch-required user-rc verify-required x11-forwarding", part, " ")
    for (i = 1; i <= n; i++) key_option[part[i]] = 1
    n = split("command environment expiry-time from permitlisten permitopen principals tunnel", part, " ")
    for (i = 1; i <= n; i++) key_option[part[i]] = 2
}
'

# What is wanted of each document. All primitives of IMDS are texts, but for a few that may be true or false.
FOUND_IMDS='
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
'

FOUND_OVF='
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
'

FOUND_PROVISIONDATA='
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
'

FOUND_GOAL_STATE='
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
'

# The document with everything secret taken out: what is inside of elements whose name holds "password" (but for
# Disable...) or is CustomData.
REDACT='
BEGIN { RS = "<" }
NR == 1 { printf "%s", $0; next }
secret != "" && $0 !~ /^\// { content = 1; next }
secret != "" {
    name = substr($0, 2)
    sub(/[ \t\r\n>].*/, "", name)
    if (name != secret) next
    if (content) printf "REDACTED"
    secret = ""
}
{
    name = $0
    sub(/[ \t\r\n>\/].*/, "", name)
    kind = tolower(name)
    sub(/^.*:/, "", kind)
    if (name ~ /^[!?]/ || kind != "customdata" && (!index(kind, "password") || kind ~ /^disable/)) size = 0
    else size = match($0, /^[^>"\047]*("[^"]*"[^>"\047]*|\047[^\047]*\047[^>"\047]*)*>/) ? RLENGTH : 0
    if (!size || substr($0, size - 1, 1) == "/") { printf "<%s", $0; next }
    printf "<%s", substr($0, 1, size)
    secret = name
    content = size < length($0)
}
'

# base64 to a list of escapes that printf turns into bytes: for images that have no base64 program.
DECODE='
BEGIN { for (i = 1; i <= 64; i++) digit[substr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", i, 1)] = i - 1 }
{
    gsub(/[ \t\r=]/, "")
    rest = rest $0
    n = length(rest) - length(rest) % 4
    for (i = 1; i <= n; i += 4) emit(substr(rest, i, 4))
    rest = substr(rest, n + 1)
    print out
    out = ""
}
END { emit(rest); print out }
function emit(s,   n, i) {
    if (length(s) < 2) return
    for (i = 1; i <= 4; i++) n = n * 64 + digit[substr(s, i, 1)]
    out = out sprintf("\\%03o", int(n / 65536))
    if (length(s) > 2) out = out sprintf("\\%03o", int(n / 256) % 256)
    if (length(s) > 3) out = out sprintf("\\%03o", n % 256)
}
'

# decode FILE RESULT: base64, line ends and blanks left out; 1 when it is none.
decode() {
    tr -d ' \t\r\n' <"$1" >"$1.base64"
    awk '
        $0 !~ "^[A-Za-z0-9+/]*=?=?$" || length($0) % 4 { bad = 1 }
        /=$/ && $0 !~ /([AQgw]=|[AEIMQUYcgkosw048])=$/ { bad = 1 }
        END { exit bad }' "$1.base64" || return 1
    if have base64; then
        base64 -d <"$1.base64" >"$2"
    elif have openssl; then
        openssl base64 -d -A <"$1.base64" >"$2"
    elif have busybox && busybox base64 </dev/null >/dev/null 2>&1; then
        busybox base64 -d <"$1.base64" >"$2"
    else
        line >>"$1.base64"
        # The formats are digits and backslashes of our own making.
        # shellcheck disable=SC2059
        awk "$DECODE" "$1.base64" | while IFS= read -r escapes; do printf "$escapes"; done >"$2"
    fi
}

# ---- the VM and its state ----

# one_line FILE: sets value to its first line, or to nothing.
one_line() {
    value=''
    [ ! -r "$1" ] || IFS= read -r value 2>/dev/null <"$1" || :
}

# An answer of ours to "is this a GUID?".
guid() {
    case $1 in
        *[!0-9a-fA-F-]*) return 1 ;;
        ????????-????-????-????-????????????) return 0 ;;
    esac
    return 1
}

# turned GUID: sets turned, the same with the bytes of its first three fields the other way round.
turned() {
    turned='' left=$1
    for size in 4 2 2; do
        field=${left%%-*} left=${left#*-}
        while [ $size -gt 0 ]; do
            turned=$turned${field#"${field%??}"} field=${field%??}
            size=$((size - 1))
        done
        turned=$turned-
    done
    turned=$turned$left
}

# Sets generation and, from DMI, vm_id in lower case and other_id, its byte-swapped form.
find_vm_id() {
    generation=1
    [ ! -d "$root/sys/firmware/efi" ] || generation=2
    if [ -n "$vm_id" ]; then
        settle_vm_id "$vm_id"
        return
    fi
    one_line "$root/sys/class/dmi/id/product_uuid"
    if guid "$value"; then
        [ "$generation" = 2 ] || { turned "$value" && value=$turned; }
        settle_vm_id "$value"
    fi
}

settle_vm_id() {
    lower "$1"
    vm_id=$lowered
    turned "$vm_id"
    other_id=$turned
}

# stamped NAME: the stamp NAME is of this VM.
stamped() {
    [ -n "$vm_id" ] || return 1
    one_line "$state/$1"
    lower "$value"
    [ "$lowered" = "$vm_id" ] || [ "$lowered" = "$other_id" ]
}

# Both byte orders, so that the clone guard needs no program to compare.
stamp() {
    [ "$1" = "$stamp_ready" ] || new_stamp "$1" || return 1
    # the next one goes to the disk with this, and gets its name when it is true
    [ "$1,$silent" != applied, ] || ! new_stamp reported || stamp_ready=reported
    # all that it promises is on the disk, and its own text, before it has its name
    settle
    mv -f "$state/.$1.azp-tmp" "$state/$1" || return 1
    touched "$state"
    settle
}

new_stamp() {
    temporary=$state/.$1.azp-tmp
    { [ ! -e "$temporary" ] && [ ! -h "$temporary" ]; } || rm -f "$temporary"
    umask 077
    { line "${vm_id:-unknown}${vm_id:+$NEWLINE$other_id}" >"$temporary"; } 2>/dev/null
    written=$?
    umask 022
    [ $written = 0 ] || return 1
    touched "$temporary"
}

# ---- inputs ----

# Where the medium is: sets medium, "" when there is none (yet). A folder stands for a mounted one.
find_medium() {
    medium=''
    if [ -n "$medium_wish" ]; then
        [ "$medium_wish" != none ] || return 1
        set -- "$medium_wish"
    elif [ -n "$root" ]; then
        return 1
    else
        set +f
        set -- /sys/block/sr* /sys/block/*
        set -f
    fi
    for device in "$@"; do
        case ${device#/sys/block/} in
            loop* | ram* | zram* | dm-* | md* | fd* | nbd*) [ -n "$medium_wish" ] || continue ;;
        esac
        [ -n "$medium_wish" ] || device=/dev/${device#/sys/block/}
        if [ -d "$device" ]; then
            copy_medium "$device" || continue
        else
            [ -e "$device" ] && [ -z "$dry_run" ] && ! has "$device" "$refused_devices" && optical "$device" &&
                mount_medium "$device" || continue
        fi
        medium=$device
        read_medium
        return
    done
    return 1
}

# optical DEVICE: it holds ISO 9660 or UDF, whose first volume descriptor is at 32 KiB (ECMA-119, ECMA-167).
optical() {
    case $(dd if="$1" bs=1 skip=32769 count=5 2>/dev/null) in
        CD001 | BEA01) return 0 ;;
    esac
    return 1
}

# Hardened images may lack one of the two file systems, and old busybox takes no list of them.
mount_medium() {
    run_folder=$root/run/azure-provisioning
    (umask 077 && mkdir -p "$run_folder/medium") || return 1
    # a run that was killed may have left it mounted
    ! grep -q " $run_folder/medium " /proc/self/mounts || umount -l "$run_folder/medium" 2>"$work/mount" ||
        warn "$run_folder/medium stays mounted: $(cat "$work/mount")"
    if ! mount_as udf "$1" 2>"$work/mount" && ! mount_as iso9660 "$1" 2>>"$work/mount"; then
        one_line "$work/mount"
        warn "$1: $value"
        refused_devices="$refused_devices $1"
        return 1
    fi
    found=1
    copy_medium "$run_folder/medium" && found=0
    umount "$run_folder/medium" 2>"$work/mount" || warn "$1 stays mounted: $(cat "$work/mount")"
    [ $found = 1 ] || return 0
    if grep -qw udf /proc/filesystems; then
        warn "$1: no ovf-env.xml"
    else
        warn "$1: no ovf-env.xml to be seen: this kernel has no UDF"
    fi
    refused_devices="$refused_devices $1"
    return 1
}

mount_as() { mount -o ro,nosuid,nodev,noexec -t "$1" "$2" "$run_folder/medium"; }

copy_medium() {
    [ -f "$1/ovf-env.xml" ] && head -c $((BODY_LIMIT + 1)) "$1/ovf-env.xml" >"$work/ovf-env.xml"
}

read_medium() {
    medium_size=$(($(wc -c <"$work/ovf-env.xml")))
    [ $medium_size -le $BODY_LIMIT ] || fail 'error parsing ovf-env.xml' "error=it is larger than $BODY_LIMIT bytes"
    read_ovf "$work/ovf-env.xml"
}

read_ovf() {
    awk -v work="$work" "$SHARED$KEYS$READ_XML$FOUND_OVF" "$1" >"$work/ovf" 2>"$work/trouble" ||
        fail 'error parsing ovf-env.xml' 'error=it is malformed, or has a DTD'
    found_ovf
}

found_ovf() {
    while read -r name value; do
        case $name in
            host) ovf_host=$value ;;
            user) ovf_user=$value ;;
            no_password) ovf_no_password=$value ;;
            password) ovf_password=$value ;;
            pooled) ovf_pooled=$value ;;
            pool) ovf_pool=$value ;;
            proxy_agent) ovf_proxy_agent=$value ;;
            custom_data) ovf_custom_data=$value ;;
        esac
    done <"$work/ovf"
}

# Asks IMDS until it answers, refuses for good, or the time for inputs is over. Sets imds to yes or no.
find_imds() {
    imds=no refused='' delay=5 slow=50 said='' api='api-version=2021-08-01&extended=true'
    say "IMDS: GET $imds_base/metadata/instance?$api"
    while :; do
        [ -n "$refused" ] || ask_imds
        [ $imds = no ] || return 0
        [ "$said" = "$problem" ] || say "IMDS: $problem"
        said=$problem
        case $status,$api in
            400,*extended*)
                api='api-version=2019-06-01'
                continue
                ;;
            401,* | 403,*) [ -n "$signed" ] || refused=yes ;;
        esac
        clock
        limit=$inputs_until
        if [ -n "$medium" ]; then
            [ -n "$refused" ] && earlier "$began_asking" || earlier $((began_asking + imds_wait * 100))
        elif [ -n "$refused" ]; then
            earlier $((began_asking + medium_wait * 100))
        fi
        [ "$now" -lt "$limit" ] || return 0
        pause
        [ -n "$medium" ] || { find_medium && await_proxy_agent; } || :
    done
}

# Where the VM has the Metadata Security Protocol on, nobody is answered before Microsoft's agent signs requests. Sets
# signed to yes where it is on: then a 401 means "not yet".
await_proxy_agent() {
    lower "${ovf_proxy_agent-}"
    [ "$lowered" = true ] || return 0
    if [ -n "$root" ]; then tree_has azure-proxy-agent; else have azure-proxy-agent; fi ||
        fail 'azure-proxy-agent not found' 'error=the VM wants signed requests (ProvisionGuestProxyAgent)'
    signed=yes
    [ -z "$root" ] || return 0
    if limited 130 azure-proxy-agent --status --wait 120 >"$work/output" 2>&1; then
        say 'azure-proxy-agent: ready'
    else
        warn "azure-proxy-agent is not ready: azure-proxy-agent: exit $ended"
    fi
}

earlier() {
    [ "$limit" -le "$1" ] || limit=$1
}

# One try. Sets imds to yes, or problem, and reason for the report.
ask_imds() {
    goal_too=''
    case $client,$form,$provisiondata,$silent$goal_from in
        curl,auto,no, | curl,xml,no,) [ -z "$vm_id" ] || { find_wireserver && goal_too=yes; } ;;
    esac
    http GET "$imds_base/metadata/instance?$api" 'Metadata: true'
    goal_too=''
    [ -n "$status$root" ] || ! imds_is_locked || ask_systemd_imds
    case $status in
        200)
            problem='200, but not the document it should be' reason='error parsing IMDS metadata'
            read_imds || return 0
            imds=yes
            say "IMDS: 200 $phrase, ${size:-$(($(wc -c <"$work/body")))} bytes"
            ;;
        '')
            problem=$trouble reason='connection timeout querying IMDS'
            case $trouble in
                *'more than'* | *'closed with'* | *prematurely* | *'short') reason='error parsing IMDS metadata' ;;
                *) routed "$imds_base" || reason='failure to obtain DHCP lease' ;;
            esac
            ;;
        *) problem="$status $phrase" reason="http error $status querying IMDS" ;;
    esac
}

# imds_is_locked: systemd (261 and newer) keeps IMDS for marked sockets, by a route or a rule that prohibits all others.
imds_is_locked() {
    [ -x "$SYSTEMD_IMDS" ] && [ "$imds_base" = http://169.254.169.254 ] || return 1
    case $trouble in
        *'ermission denied'*) return 0 ;;
    esac
    grep -q '^\*.FEA9FEA9' /proc/net/route 2>/dev/null && return 0
    have ip && ip route get 169.254.169.254 2>&1 | grep -q -e 'ermission denied' -e prohibit
}

# systemd-imds marks its sockets. Its keys are what follows the base address of IMDS, and go before an api-version and a
# format of its own: these become a fragment, which is sent to nobody.
ask_systemd_imds() {
    { limited 30 "$SYSTEMD_IMDS" "/instance?$api#" 2>"$work/trouble" || echo $? >"$work/failed"; } |
        head -c $((BODY_LIMIT + 1)) >"$work/body"
    if [ -s "$work/body" ]; then
        status=200 phrase='OK, by systemd-imds' size=$(($(wc -c <"$work/body")))
    else
        one_line "$work/trouble"
        trouble="systemd-imds: ${value:-no answer}"
    fi
}

# The pause before the next try, never past `limit`: short and growing when nothing answered, as long as asked for
# (but with time left for one last try) or longer and growing after an answer.
pause() {
    case $status,$retry_after in
        ,*)
            nap "$delay"
            longer "$delay" 100
            ;;
        *,[0-9]*)
            number "$retry_after" 0 99999 || number=99999
            wanted=$number
            clock
            [ $((wanted * 100)) -le $((limit - now - 500)) ] || wanted=$(((limit - now - 500) / 100))
            [ "$wanted" -gt 0 ] || wanted=0
            nap $((wanted * 100))
            ;;
        *)
            nap "$slow"
            slow=$((slow * 3 / 2))
            [ $slow -le 500 ] || slow=500
            ;;
    esac
}

read_imds() {
    [ ! -e "$work/user-data" ] || rm -f "$work/user-data"
    awk -v work="$work" "$SHARED$KEYS$READ_JSON$FOUND_IMDS" "$work/body" >"$work/imds" 2>/dev/null || return 1
    while read -r name value; do
        case $name in
            vm_name) imds_name=$value ;;
            vm_id) imds_vm_id=$value ;;
            location) imds_location=$value ;;
            user) imds_user=$value ;;
            computer_name) imds_computer_name=$value ;;
            no_password) imds_no_password=$value ;;
            has_custom_data) has_custom_data=$value ;;
            pool) imds_pool=$value ;;
        esac
    done <"$work/imds"
}

# routed URL: the kernel knows a way to the host of URL.
routed() {
    address=${1#http://}
    address=${address%%[:/]*}
    case $address in
        127.* | *[!0-9.]*) return 0 ;;
    esac
    if have ip; then
        ip route get "$address" >/dev/null 2>&1
    else
        [ "$(head -n 2 /proc/net/route 2>/dev/null | wc -l)" -gt 1 ]
    fi
}

find_inputs() {
    clock
    began_asking=$now inputs_until=$((began + deadline * 90))
    signed=''
    { find_medium && await_proxy_agent; } || :
    find_imds
    [ -n "$medium" ] || [ $imds = yes ] || fail "$reason" "error=$problem" "url=$imds_base"
    [ -n "$medium" ] || ask_provisiondata || await_medium || :
    lower "${has_custom_data-}"
    [ "$require_custom_data$lowered" != yestrue ] || [ "${ovf_custom_data-}" = yes ] ||
        fail 'failure to read customData while hasCustomData=true'
    if [ -n "$medium" ]; then
        say "medium: $medium, ovf-env.xml of $medium_size bytes"
    else
        say 'medium: none'
    fi
}

# A proposal of 2026, in three forms: the WireServer has what the medium would hold. 1 where this host has not, as all
# hosts of today: then there is the medium. Only what IMDS has not is taken, and nothing is kept.
ask_provisiondata() {
    [ "$provisiondata$imds" = autoyes ] || return 1
    find_wireserver
    get_provisiondata ''
    case $status in
        200) ;;
        404)
            get_provisiondata /customData
            [ "$status" = 200 ] || line null >"$work/body"
            { printf '{"customData": '; cat "$work/body"; } >"$work/provisiondata"
            get_provisiondata /adminPassword
            [ "$status" = 200 ] || line null >"$work/body"
            { printf ', "adminPassword": '; cat "$work/body"; line '}'; } >>"$work/provisiondata"
            mv "$work/provisiondata" "$work/body"
            ;;
        *) return 1 ;;
    esac
    case $(awk '{ gsub(/[ \t\r]/, "") } $0 != "" { print substr($0, 1, 1); exit }' "$work/body") in
        '<') read_ovf "$work/body" ;;
        *)
            awk -v work="$work" "$SHARED$KEYS$READ_JSON$FOUND_PROVISIONDATA" "$work/body" >"$work/ovf" 2>/dev/null ||
                fail 'error parsing provisiondata' 'error=it is malformed'
            found_ovf
            ;;
    esac
}

# get_provisiondata PATH: asked again while the host, or the agent that signs, is not ready.
get_provisiondata() {
    clock
    limit=$inputs_until slow=50
    earlier $((now + imds_wait * 100))
    while :; do
        http GET "$wireserver/provisiondata$1?api-version=2026-01-01" 'Metadata: true'
        say "provisiondata$1: ${status:-$trouble} $phrase"
        case $status in
            401 | 429 | 503) ;;
            *) return ;;
        esac
        clock
        [ "$now" -lt "$limit" ] || return
        pause
    done
}

# IMDS tells when custom data or a password is on the medium: then a drive that comes late is worth waiting for.
await_medium() {
    [ "$medium_wish" != none ] || return 0
    lower "${has_custom_data-}/${imds_no_password-}"
    case $lowered in
        true/* | */false) ;;
        *) return 0 ;;
    esac
    clock
    limit=$inputs_until
    earlier $((now + medium_wait * 100))
    while [ "$now" -lt "$limit" ]; do
        nap 20
        find_medium && return
        clock
    done
    case $lowered in
        true/*) warn 'failure to read customData while hasCustomData=true: no provisioning medium was found' ;;
        *) warn 'the owner wants a password, which comes on the provisioning medium, and none was found' ;;
    esac
}

# ---- the WireServer's address ----

LEASES='/run/systemd/netif/leases /run/NetworkManager/devices /run/NetworkManager /var/lib/NetworkManager
    /var/lib/dhcp /var/lib/dhclient /run /var/lib/dhcpcd /run/dhcpcd /run/udhcpc /var/lib/udhcpc'

# Sets wireserver: the option, else option 245 of this boot's newest valid DHCP lease, else the address that is
# documented; after three failures those two by turns.
find_wireserver() {
    wireserver=$wireserver_wish
    [ -z "$wireserver" ] || return 0
    if [ "$failures" -lt 3 ] || [ $((failures % 4)) = 0 ]; then
        leased_wireserver
    fi
    wireserver=http://${leased:-168.63.129.16}
    [ "$failures" -lt 3 ] || [ $((failures % 2)) = 0 ] || wireserver=http://168.63.129.16
}

# Sets leased, "" where no lease tells. Expired leases, those of another boot and those of other interfaces are none.
leased_wireserver() {
    leased='' newest=''
    set +f
    set -- "$root"/sys/class/net/*
    set -f
    interfaces=''
    for lease in "$@"; do [ ! -e "$lease" ] || interfaces="$interfaces ${lease##*/}"; done
    for folder in $LEASES; do
        set +f
        case $folder in
            */leases | */devices | *udhcpc) set -- "$root$folder"/* ;;
            *) set -- "$root$folder"/*lease* ;;
        esac
        set -f
        for lease in "$@"; do
            # shellcheck disable=SC3013 # all our shells have it
            [ -f "$lease" ] && { [ -z "$newest" ] || [ "$lease" -nt "$newest" ]; } || continue
            written=''
            case $folder in
                /var/*)
                    epoch
                    written=$(stat -c %Y "$lease")
                    [ "$written" -ge $((boot - 60)) ] || continue
                    ;;
            esac
            option_245 "$lease"
            [ -z "$address" ] || leased=$address newest=$lease
        done
    done
    [ -n "$leased" ] || ask_networkd
}

# networkd of systemd 261 and newer keeps its leases to itself, but tells them.
ask_networkd() {
    [ -z "$root" ] && have networkctl || return 0
    set +f
    set -- /run/systemd/netif/links/* /run/systemd/netif/leases/*
    set -f
    [ -e "$1" ] || return 0
    for lease in "$@"; do
        case $lease in
            */leases/*) [ ! -e "$lease" ] || return 0 ;;
        esac
    done
    limited 5 networkctl --json=short status >"$work/networkctl" 2>/dev/null || return 0
    sed -n 's/.*"Option":245,"PrivateOptionData":"\([0-9a-fA-F:]*\)".*/OPTION_245=\1/p' "$work/networkctl" >"$work/lease"
    option_245 "$work/lease"
    leased=$address
}

# option_245 FILE: sets address, "" where the lease does not tell. dhcpcd keeps the DHCP packet itself (RFC 2131: magic
# cookie at byte 236), the others write lines; the last valid lease of a file wins.
option_245() {
    epoch
    one_line "$1"
    packet=''
    case $value in
        [!\ -~]*) packet=$(dd if="$1" bs=1 skip=236 count=4 2>/dev/null | od -An -tx1) ;; # a packet begins with 1 or 2
    esac
    case $packet in
        *63*82*53*63*)
            address=$(od -An -v -tu1 -j 240 "$1" | awk -v now="$unix_time" -v written="$written" "$PACKET_245")
            ;;
        *) address=$(tr '\000\200-\377' ' ?' <"$1" | awk -v now="$unix_time" -v interfaces="$interfaces " "$LEASE_245") ;;
    esac
}

PACKET_245='
{ for (i = 1; i <= NF; i++) byte[n++] = $i }
END {
    for (at = 0; at + 1 < n && byte[at] != 255; at += byte[at] ? 2 + byte[at + 1] : 1) {
        if (byte[at + 1] != 4 || !byte[at]) continue
        if (byte[at] == 51 && written != "") {
            for (i = 2; i < 6; i++) lasts = lasts * 256 + byte[at + i]
            if (written + lasts < now) exit
        }
        if (byte[at] == 245 && byte[at + 2] > 0 && byte[at + 2] < 224 && found == "")
            found = byte[at + 2] "." byte[at + 3] "." byte[at + 4] "." byte[at + 5]
    }
    if (found != "") print found
}
'

# networkd and NetworkManager: OPTION_245=a83f8110; scripts of udhcpc: opt245=a83f8110; dhclient: option unknown-245
# a8:3f:81:10; or four characters in quotes, odd ones as \ooo; or a dotted address.
LEASE_245='
BEGIN {
    n = split("OPTION_245= opt245= unknown-245@ private_245= option-245@", marks, " ")
    for (i = 32; i < 256; i++) code[sprintf("%c", i)] = i
}
/^[ \t]*lease[ \t]*\{/ { close_lease() }
{
    gsub(/;/, " ")
    for (i = 1; i <= n; i++) {
        mark = marks[i]
        sub(/@/, " ", mark)
        if (at = index($0, mark)) { found = dotted(trim(substr($0, at + length(mark)))); if (found != "") this = found }
    }
    text = $0
    gsub(/=/, " ", text)
    count = split(text, word, /[ \t\r]+/)
    at = word[1] == "" ? 2 : 1
    if (word[at] == "expire" || word[at] == "EXPIRY") { if (over(word[at + 1], word[at + 2], word[at + 3])) bad = 1 }
    else if (word[at] == "interface" && interfaces ~ /[^ ]/) {
        gsub(/"/, "", word[at + 1])
        if (!index(interfaces, " " word[at + 1] " ")) bad = 1
    }
}
END { close_lease(); if (last != "") print last }
function close_lease() { if (!bad && this != "") last = this; bad = 0; this = "" }
function over(first, day, clock,   d, c, year, month) {
    if (first == "epoch") first = day
    if (day ~ /^[0-9]+\/[0-9]+\/[0-9]+$/ && clock ~ /^[0-9]+:[0-9]+:[0-9]+$/) {
        split(day, d, "/")
        split(clock, c, ":")
        month = (d[2] + 9) % 12
        year = d[1] - (month >= 10)
        day = 365 * year + int(year / 4) - int(year / 100) + int(year / 400) + int((month * 306 + 5) / 10) + d[3] - 719469
        return ((day * 24 + c[1]) * 60 + c[2]) * 60 + c[3] <= now + 0
    }
    return first ~ /^[0-9]+$/ && length(first) <= 12 && (day == "" || first == day) && first + 0 <= now + 0
}
function trim(s) { sub(/^[ \t\r]+/, "", s); sub(/[ \t\r]+$/, "", s); return s }
function hex(s) { s = tolower(s); return length(s) == 1 ? digit(s) : digit(substr(s, 1, 1)) * 16 + digit(substr(s, 2, 1)) }
function digit(c) { return index("0123456789abcdef", c) - 1 }
function dotted(s,   part, count, i, c, out) {
    if (s ~ /^".*"$/ && length(s) > 1) {
        s = substr(s, 2, length(s) - 2)
        while (s != "") {
            if (s ~ /^\\[0-7][0-7][0-7]/) {
                part[++count] = substr(s, 2, 1) * 64 + substr(s, 3, 1) * 8 + substr(s, 4, 1)
                s = substr(s, 5)
                continue
            }
            sub(/^\\/, "", s)
            part[++count] = code[substr(s, 1, 1)]
            s = substr(s, 2)
        }
        return address(part, count)
    }
    gsub(/^["\047]+|["\047]+$/, "", s)
    if (s ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) count = split(s, part, ".")
    else if (s ~ /^[0-9a-fA-F:]+$/ && (index(s, ":") || length(s) == 8)) {
        if (!index(s, ":")) gsub(/../, "&:", s)
        sub(/:$/, "", s)
        count = split(s, part, ":")
        for (i = 1; i <= count; i++) {
            if (part[i] !~ /^[0-9a-fA-F][0-9a-fA-F]?$/) return ""
            part[i] = hex(part[i])
        }
    }
    return address(part, count)
}
function address(part, count,   i) {
    if (count != 4 || part[1] < 1 || part[1] > 223) return ""
    for (i = 2; i <= 4; i++) if (part[i] > 255) return ""
    return part[1] + 0 "." part[2] + 0 "." part[3] + 0 "." part[4] + 0
}
'

# ---- wishes: what is to be done, from both inputs, each value checked ----

# The host name: IMDS's computer name, else the medium's, which is the same; else the VM's name. Sets host.
wish_host() {
    host=${imds_computer_name-}
    if [ -n "$host" ]; then
        host_name "$host" ||
            fail 'invalid IMDS metadata for key=compute.osProfile.computerName' "value=$host"
    elif [ -n "${ovf_host-}" ] && host_name "$ovf_host"; then
        host=$ovf_host # the computer name, which an old IMDS does not know
    elif [ -n "${imds_name-}" ] && host_name "$imds_name"; then
        host=$imds_name
    elif [ -n "${ovf_host-}" ]; then
        host=$ovf_host
        host_name "$host" || fail 'unexpected metadata parsing ovf-env.xml: HostName' "value=$host"
    elif [ -n "${imds_name-}" ]; then
        warn "the VM's name $imds_name cannot be a host name; the image's stays"
    fi
    if [ ${#host} -gt 64 ]; then
        warn "host name $host is longer than 64 characters and was cut"
        fit_host
    fi
}

# host_name TEXT: labels of letters, digits and hyphens, 1 to 63 long, no hyphen at either end (RFC 1123).
host_name() {
    [ ${#1} -le 255 ] || return 1
    case $1. in
        *[!a-zA-Z0-9.-]* | .* | *..* | -* | *.-* | *-.*) return 1 ;;
    esac
    label_rest=$1.
    while [ -n "$label_rest" ]; do
        label=${label_rest%%.*} label_rest=${label_rest#*.}
        [ ${#label} -le 63 ] || return 1
    done
}

# Cut at a dot where there is one, else after 64 characters.
fit_host() {
    while [ ${#host} -gt 64 ]; do
        case $host in
            *.*) host=${host%.*} ;;
            *) host=${host%"${host#????????????????????????????????????????????????????????????????}"} ;;
        esac
    done
    while :; do
        case $host in
            *[-.]) host=${host%?} ;;
            *) return ;;
        esac
    done
}

# The admin user; nobody is wanted when neither input names one. Sets user.
wish_user() {
    user=${imds_user-} user_from='invalid IMDS metadata for key=compute.osProfile.adminUsername'
    [ -n "$user" ] || user=${ovf_user-} user_from='unexpected metadata parsing ovf-env.xml: UserName'
    [ -z "$user" ] || user_name "$user" || fail "$user_from" "value=$user"
}

user_name() {
    case $1 in
        [!a-zA-Z_]* | *[!a-zA-Z0-9_.-]*) return 1 ;;
    esac
    [ ${#1} -le 32 ]
}

# Whether ssh may take passwords: sets password_login to yes, no, or nothing where neither input says so.
wish_policy() {
    password_login='' password_wanted=${ovf_password-}
    [ -z "$password_wanted" ] || password_login=yes
    for stated in "${imds_no_password-}" "${ovf_no_password-}"; do
        lower "$stated"
        case $lowered in
            true) password_login=no ;;
            false) password_login=yes password_wanted=yes ;;
            *) continue ;;
        esac
        return
    done
}

# The keys of IMDS, or, where none of those can be used, those of the medium. One that cannot be used is left out by its
# number, the others are used; $work/bad-keys says what is wrong with each.
wish_keys() {
    : >"$work/keys"
    : >"$work/bad-keys"
    key_count=0
    usable_keys imds IMDS || usable_keys ovf 'the medium' || :
}

usable_keys() {
    [ -f "$work/$1" ] || return 1
    while read -r name value; do
        case $name in
            key)
                line "$value" >>"$work/keys"
                key_count=$((key_count + 1))
                ;;
            bad_key)
                number=${value#key }
                warn "key ${number%% *} from $2 ${number#* }"
                line "key=key ${number%% *} from $2 ${number#* }" >>"$work/bad-keys"
                ;;
        esac
    done <"$work/$1"
    [ -s "$work/keys" ]
}

# wish_data NAME WHAT: what came as base64 becomes $work/NAME.decoded; what is no base64 is kept as it came.
wish_data() {
    [ -s "$work/$1" ] || return 0
    decode "$work/$1" "$work/$1.decoded" && return 0
    warn "$2 is not base64 and is kept as it came"
    cat "$work/$1" >"$work/$1.decoded"
}

# A pre-provisioned VM gets its owner later, by a protocol that this program does not speak: say so at once.
refuse_pool() {
    pool=${imds_pool-}
    lower "$pool"
    case $lowered in
        '' | none)
            lower "${ovf_pooled-}"
            [ "$lowered" = true ] || return 0
            pool=${ovf_pool:-true}
            ;;
    esac
    fail 'pre-provisioned VMs are not supported' "ppsType=$pool"
}

make_wishes() {
    wish_host
    refuse_pool
    wish_user
    wish_policy
    wish_keys
    # as many characters as Azure allows; in UTF-8 all of a character's bytes but the first are from this range
    # shellcheck disable=SC2046 # some pad what wc says
    [ "${ovf_password-}" != yes ] || [ $(tr -d '\200-\277\n' <"$work/password" | wc -c) -le 72 ] || ovf_password=bad
    [ "${ovf_password-}" != bad ] || fail 'unexpected metadata parsing ovf-env.xml: UserPassword'
    wish_data custom-data 'custom data'
    wish_data user-data 'user data'
}

# ---- steps: each brings one part of the tree in line with the wishes and leaves alone what is right already ----
# Each sets did: the line that says what it did.

step_hostname() {
    if [ -z "$host" ]; then
        did="nobody names this VM; the image's host name stays"
        return
    fi
    changed=''
    if [ -w "$root/etc" ]; then
        line "$host" >"$work/text"
        put_text /etc/hostname 0644 "$work/text"
        put_hosts
    else
        warn '/etc is read-only: the host name is set for this boot only'
        changed=yes
    fi
    did=$host
    [ -n "$changed" ] || did="$host already"
    [ -z "$root$dry_run" ] || return 0
    before=''
    read -r before 2>/dev/null </proc/sys/kernel/hostname || before=$(hostname)
    [ "$before" != "$host" ] || return 0
    { line "$host" >/proc/sys/kernel/hostname; } 2>/dev/null || run hostname "$host"
    # agetty watches this file, and draws its prompt again with the new name (agetty --reload touches it).
    { : >/run/agetty.reload; } 2>/dev/null
    did="$host (was $before)"
}

# /etc/hosts gets a line for the name (127.0.1.1, as Debian does), unless it has one or NSS knows the name by itself.
put_hosts() {
    ! knows_itself || return 0
    hosts=$root/etc/hosts
    if [ ! -s "$hosts" ]; then
        alias=${host%%.*}
        [ "$alias" != "$host" ] || alias=''
        line "127.0.0.1 localhost${NEWLINE}127.0.1.1 $host${alias:+ $alias}" >"$work/hosts.new"
        put /etc/hosts 0644 <"$work/hosts.new"
        return
    fi
    awk -v name="$host" '
        BEGIN { alias = name; sub(/\..*/, "", alias); ours = "127.0.1.1 " name (alias == name ? "" : " " alias) }
        {
            words = $0
            sub(/#.*/, "", words)
            gsub(/\r/, " ", words)
            n = split(words, word)
            for (i = 2; i <= n; i++) if (tolower(word[i]) == tolower(name)) known = 1
            if (n && word[1] == "127.0.1.1" && !done++) $0 = ours
            print
        }
        END { if (!done) print ours; exit known }' "$hosts" >"$work/hosts.new" || return 0
    put /etc/hosts 0644 <"$work/hosts.new"
}

# NSS resolves the VM's own name without a line in /etc/hosts.
knows_itself() {
    nss_services hosts
    case " $services " in
        *[\ $TAB]myhostname[\ $TAB]*) return 0 ;;
    esac
    return 1
}

# nss_services DATABASE: sets services to where NSS looks, in its first line; "" where it does not say.
nss_services() {
    services=''
    [ -r "$root/etc/nsswitch.conf" ] || return 0
    while read -r database services || [ -n "$database" ]; do
        services=${services%%#*}
        services=${services%"${services##*[! $TAB]}"}
        [ "$database" != "$1:" ] || return 0
    done <"$root/etc/nsswitch.conf"
    services=''
}

# account NAME: sets uid, gid, home and shell, from the tree's own files or, on this machine, from whatever else NSS knows.
# Read once, until something may have changed it: a shell reads byte by byte.
account() {
    if [ "$1" != "$known_account" ]; then
        known_uid='' known_secret='' known_gid='' known_home='' known_shell=''
        ! read_account "$1" || known_uid=$uid known_secret=$secret known_gid=$gid known_home=$home known_shell=$shell
        known_account=$1
    fi
    uid=$known_uid secret=$known_secret gid=$known_gid home=$known_home shell=$known_shell
    [ -n "$uid" ]
}

# What was read is not what is there any more.
forget() { known_account='' group_text='' shadow_text='' sudoers_known=''; }

read_account() {
    uid='' shell=''
    for accounts in /etc/passwd /usr/lib/passwd; do
        [ -r "$root$accounts" ] || continue
        while IFS=: read -r login secret uid gid _ home shell || [ -n "$login" ]; do
            [ "$login" != "$1" ] || return 0
        done <"$root$accounts"
    done
    uid=''
    nss_services passwd
    [ -z "$root" ] && [ "$services" != files ] && have getent && nss_account "$1" || return 1
    IFS=: read -r login secret uid gid _ home shell <"$work/account"
}

# nss_account NAME: login and sshd find it, wherever NSS looks; "$work/account" is its line.
nss_account() { getent passwd "$1" >"$work/account"; }

# entry NAME FILE: sets entry to the line of NAME in an account file of the tree.
entry() {
    case $2 in
        group) text=$group_text ;;
        shadow) text=$shadow_text ;;
        *) text='' ;;
    esac
    if [ -z "$text" ]; then
        [ -r "$root/etc/$2" ] || return 1
        text_of "$root/etc/$2"
        case $2 in
            group) group_text=$text ;;
            shadow) shadow_text=$text ;;
        esac
    fi
    case $text in
        *"$NEWLINE$1:"*) ;;
        *) return 1 ;;
    esac
    entry=${text#*"$NEWLINE$1:"}
    entry=$1:${entry%%"$NEWLINE"*}
}

# text_of FILE: sets text to its lines, a line end before and behind each.
text_of() {
    text=$NEWLINE
    while IFS= read -r entry || [ -n "$entry" ]; do
        text=$text$entry$NEWLINE
    done <"$1"
}

# add_entry LINE FILE: one more line in an account file of the tree.
add_entry() {
    {
        cat "$root/etc/$2"
        [ -z "$(tail -c 1 "$root/etc/$2")" ] || line
        line "$1"
    } >"$work/text"
    rewrite "/etc/$2"
}

# Sets groups, those that exist of what an administrator should be in; lacking, those of them without the user; and
# own_group, yes when there is a group of the user's name.
find_groups() {
    groups='' lacking='' own_group=''
    IFS=,
    for wanted in ${groups_setting:-sudo,wheel,adm,systemd-journal}; do
        IFS=" $TAB$NEWLINE"
        entry "$wanted" group || adopt_group "$wanted" || {
            [ -z "$groups_setting" ] || warn "the image has no group $wanted"
            continue
        }
        groups=$groups${groups:+,}$wanted
        case ,${entry##*:}, in
            *",$user,"*) ;;
            *) lacking=$lacking${lacking:+,}$wanted ;;
        esac
    done
    IFS=" $TAB$NEWLINE"
    ! entry "$user" group || own_group=yes
}

# A group of /usr/lib/group is copied to /etc/group, which can be written.
adopt_group() {
    [ -r "$root/usr/lib/group" ] && ! fixed /etc || return 1
    while IFS=: read -r group secret number _ || [ -n "$group" ]; do
        [ "$group" = "$1" ] || continue
        add_entry "$group:$secret:$number:" group
        entry "$1" group
        return
    done <"$root/usr/lib/group"
    return 1
}

step_user() {
    if [ -z "$user" ]; then
        did='no user name: users and keys are skipped'
        return
    fi
    [ -r "$root/etc/group" ] || step_failed '/etc/group is not there'
    was_cut='' home_was=''
    clear_locks
    [ ! -e "$root$BEGUN" ] || was_cut=yes
    if account "$user"; then
        refuse_system_account
        complete_account
        find_groups
        did=exists home_was=yes
        if [ -n "$lacking" ] && fixed /etc; then
            warn "/etc is read-only: $user does not join $lacking"
        elif [ -n "$lacking" ]; then
            join_groups "$lacking"
        fi
    else
        ! fixed /etc || fail "failure in step user" "error=/etc is read-only, and $user is not in the image"
        find_groups
        make_room_for_homes
        [ ! -e "$root/home/$user" ] || home_was=yes
        begin
        add_user
        did=created
        account "$user" || [ -n "$dry_run" ] || step_failed 'the account is not there after useradd'
    fi
    [ -z "$uid" ] || settle_home
    [ -n "$dry_run" ] || {
        [ "${did#created}" = "$did" ] || sync_home
        if [ -e "$root$BEGUN" ]; then
            rm -f "$root$BEGUN"
            touched "$root/etc"
        fi
    }
    did="$user $did, uid ${uid:-?}, groups ${groups:-none}"
}

BEGUN=/etc/.azure-provisioning-begun

# Marks that an account is being made: after a power cut, the next boot completes what belongs to it. On the disk before
# useradd begins: btrfs keeps what useradd syncs without keeping what was made before. Only a power cut leaves it.
begin() {
    [ -z "$dry_run" ] || return 0
    : >"$root$BEGUN"
    touched "$root$BEGUN"
    settle
    left_behind=$root$BEGUN
}

# An account of the image's own is nobody's to log in with: its home, and the keys in it, are another's.
refuse_system_account() {
    least=1000
    for defs in "$root/etc/login.defs" "$root/usr/etc/login.defs"; do
        [ -r "$defs" ] || continue
        while read -r key value _ || [ -n "$key" ]; do
            [ "$key" != UID_MIN ] || ! number "$value" 0 999999999 || least=$number
        done <"$defs"
        break
    done
    if [ "$uid" -lt "$least" ] || [ "$uid" = 65534 ]; then
        fail "$user_from" "value=$user" "error=$user is a system account of this image (uid $uid)"
    elif ! own_home || shared_home; then
        fail "$user_from" "value=$user" "error=$user is a system account of this image (home $home)"
    fi
}

# home can be the home of one person: nothing of the system's, and no folder that holds homes.
own_home() {
    case ${home%/} in
        '' | /home | /var | /var/lib | /var/home | /var/tmp | /tmp | /opt | /srv | /mnt | /media) return 1 ;;
    esac
    case $home/ in
        //* | /root/* | /bin/* | /sbin/* | /lib/* | /lib64/* | /usr/* | /etc/* | /dev/* | /proc/* | /sys/* | /run/* | \
            /boot/* | /nonexistent/*) return 1 ;;
        /*) return 0 ;;
    esac
    return 1
}

shared_home() {
    while IFS=: read -r login _ _ _ _ other _ || [ -n "$login" ]; do
        [ "$login" = "$user" ] || [ "${other%/}" != "$home" ] || return 0
    done <"$root/etc/passwd"
    return 1
}

# What useradd had not written when the power went. Sets was_cut when anything lacked.
complete_account() {
    fixed /etc && return
    lacked=''
    if [ "$secret" = x ] && [ -e "$root/etc/shadow" ] && ! entry "$user" shadow; then
        epoch
        write_lacking shadow "$user:!:$((unix_time / 86400)):0:99999:7:::"
    fi
    if ! entry "$user" group && ! group_of_id "$gid"; then
        write_lacking group "$user:x:$gid:"
    fi
    [ -n "$lacked$was_cut" ] || return 0
    if [ -e "$root/etc/gshadow" ] && entry "$user" group && ! entry "$user" gshadow; then
        write_lacking gshadow "$user:!::"
    fi
    join_gshadow
    for file in subuid subgid; do
        [ -e "$root/etc/$file" ] && ! entry "$user" $file || continue
        write_lacking $file "$user:$(awk -F: '
            NF == 3 && $2 + $3 > most { most = $2 + $3 }
            BEGIN { most = 100000 }
            END { printf "%.0f", most }' "$root/etc/$file"):65536" # mawk prints what exceeds 2^31 with an e
    done
    was_cut=yes
}

# The user is in each group of gshadow that has them by /etc/group: useradd writes that file first.
join_gshadow() {
    [ -e "$root/etc/gshadow" ] || return 0
    AZ_USER=$user awk -F: '
        function is_in(list, n, i, names) {
            n = split(list, names, ",")
            for (i = 1; i <= n; i++) if (names[i] == ENVIRON["AZ_USER"]) return 1
            return 0
        }
        FNR == NR { if (NF == 4 && is_in($4)) theirs[$1] = 1; next }
        NF == 4 && ($1 in theirs) && !is_in($4) { $0 = $0 ($4 == "" ? "" : ",") ENVIRON["AZ_USER"] }
        { print }' "$root/etc/group" "$root/etc/gshadow" >"$work/text"
    cmp -s "$work/text" "$root/etc/gshadow" || lacked=yes
    rewrite /etc/gshadow
}

# write_lacking FILE LINE
write_lacking() {
    add_entry "$2" "$1"
    say "user: /etc/$1 had no entry for $user"
    lacked=yes
}

group_of_id() {
    while IFS=: read -r any_group _ number _ || [ -n "$any_group" ]; do
        [ "$number" != "$1" ] || return 0
    done <"$root/etc/group"
    return 1
}

# The folder that holds the homes, where it is a link to one that is not there yet (ostree, bootc: var/home).
make_room_for_homes() {
    [ ! -e "$root/home" ] && [ -z "$dry_run" ] || return 0
    place=/home
    while [ -h "$root$place" ]; do
        target=$(readlink "$root$place")
        case $target in
            /*) place=$target ;;
            *) place=${place%/*}/$target ;;
        esac
        [ ${#place} -lt 1000 ] || break
    done
    folder "$place" 0755
    [ "$place" = /home ] || say "user: made $place, which /home names"
}

# The home is there, is the user's, and nobody else can write into it: sshd reads no keys otherwise. One that useradd has
# just made is right.
settle_home() {
    home_now=$home_was
    if [ ! -e "$root$home" ]; then
        make_home
        did="$did, home made anew" was_cut=yes home_now=''
    fi
    [ -z "$dry_run" ] || return 0
    if [ -n "$was_cut" ]; then # useradd makes it with no mode at all, and gives it one at the end
        find_home_mode
        chmod "$mode" "$root$home"
    fi
    [ -z "$home_now" ] || keep_others_out_of_home
    [ -z "$was_cut" ] || copy_skeleton
}

keep_others_out_of_home() {
    owner_mode=$(stat -L -c '%u %a' "$root$home")
    if [ "$me" = 0 ] && [ "${owner_mode% *}" != "$uid" ]; then
        warn "$home belonged to uid ${owner_mode% *}: it is $user's from now on"
        chown "$uid:$gid" "$root$home"
    fi
    close_home "${owner_mode#* }"
}

# close_home MODE
close_home() {
    case $1 in
        *[2367]? | *[2367])
            chmod go-w "$root$home"
            warn "others could write into $home, and sshd would refuse its keys: it has mode $(stat -L -c %a "$root$home") from now on"
            ;;
    esac
}

# Sets mode to the one that useradd gives to a new home, by login.defs; never writable for others.
find_home_mode() {
    mode='' mask=022
    for defs in "$root/etc/login.defs" "$root/usr/etc/login.defs"; do
        [ -r "$defs" ] || continue
        while read -r key value _ || [ -n "$key" ]; do
            case $key:$value in
                *:*[!0-7]* | *:) ;;
                HOME_MODE:*) mode=$value ;;
                UMASK:*) mask=$value ;;
            esac
        done <"$defs"
        break
    done
    # digit by digit: shells differ in what they take for octal
    if [ -n "$mode" ]; then
        three_digits "$mode"
    else
        three_digits "$mask"
        user_digit=$((7 - user_digit)) group_digit=$((7 - group_digit)) other_digit=$((7 - other_digit))
    fi
    mode=0$user_digit$((group_digit & 5))$((other_digit & 5))
}

# three_digits NUMBER: its last three.
three_digits() {
    rest=00$1
    other_digit=${rest#"${rest%?}"} rest=${rest%?}
    group_digit=${rest#"${rest%?}"} rest=${rest%?}
    user_digit=${rest#"${rest%?}"}
}

# What of /etc/skel is not in the home, or is empty there.
copy_skeleton() {
    owner=''
    [ "$me" != 0 ] || owner=$uid:$gid
    copy_below ''
}

# copy_below FOLDER: the same for one folder below it; no link in the home is followed.
copy_below() {
    set +f
    set -- "$root/etc/skel$1"/.[!.]* "$root/etc/skel$1"/*
    set -f
    for skeleton in "$@"; do
        copy=$root$home${skeleton#"$root/etc/skel"}
        if [ -h "$copy" ]; then
            :
        elif [ -h "$skeleton" ]; then
            [ -e "$copy" ] || ln -s "$(readlink "$skeleton")" "$copy"
            [ -z "$owner" ] || chown -h "$owner" "$copy"
        elif [ -d "$skeleton" ]; then
            [ -d "$copy" ] || mkdir "$copy" || continue
            chmod "$(stat -c 0%a "$skeleton")" "$copy"
            [ -z "$owner" ] || chown "$owner" "$copy"
            touched "$copy"
            copy_below "${skeleton#"$root/etc/skel"}"
        elif [ -f "$skeleton" ] && [ ! -s "$copy" ]; then
            # shellcheck disable=SC2094 # its mode, not its content
            store "$copy" "0$(stat -c %a "$skeleton")" "$owner" <"$skeleton" || :
        fi
    done
}

# What useradd has copied from /etc/skel reaches the disk; useradd syncs the account files only.
sync_home() {
    touch_copied ''
    touched "$root/etc"
    settle
}

# touch_copied FOLDER: of one folder below /etc/skel. No more than that: a home that was there before may hold a whole disk.
touch_copied() {
    touched "$root$home$1"
    set +f
    set -- "$root/etc/skel$1"/.[!.]* "$root/etc/skel$1"/*
    set -f
    for skeleton in "$@"; do
        copy=$root$home${skeleton#"$root/etc/skel"}
        if [ -h "$copy" ]; then
            :
        elif [ -d "$copy" ]; then
            touch_copied "${skeleton#"$root/etc/skel"}"
        elif [ -f "$copy" ] && [ -s "$copy" ]; then
            touched "$copy"
        fi
    done
}

add_user() {
    shell=/bin/sh
    [ ! -e "$root/bin/bash" ] || shell=/bin/bash
    if [ -n "$shell_setting" ]; then
        if [ -e "$root$shell_setting" ]; then
            shell=$shell_setting
        else
            warn "the image has no $shell_setting: its usual shell is taken"
        fi
    fi
    if have useradd; then
        set -- useradd ${root:+--prefix "$root"} --create-home --shell "$shell"
        [ -z "$groups" ] || set -- "$@" --groups "$groups"
        [ -z "$own_group" ] || set -- "$@" --gid "$user"
        try "$@" "$user" && return 0
        # an invalid name, before shadow 4.15 and since
        has "$ended" '3 19' || step_failed "$error"
        warn "$error; trying again"
        refusal=$error
        # since shadow 4.9, and before
        try "$@" --badname "$user" || try "$@" --badnames "$user" || step_failed "$refusal"
    elif have adduser; then
        # busybox: its own options, and no way to name a tree but to go there
        set -- adduser -D -s "$shell"
        [ -z "$own_group" ] || set -- "$@" -G "$user"
        run ${root:+chroot "$root"} "$@" "$user"
        [ -z "$groups" ] || join_groups "$groups"
    else
        step_failed 'neither useradd nor adduser is there'
    fi
}

# join_groups GROUP,...: busybox takes them one at a time.
join_groups() {
    if have usermod; then
        run usermod ${root:+--prefix "$root"} -a -G "$1" "$user"
        return
    fi
    for group in $(line "$1" | tr , ' '); do
        run ${root:+chroot "$root"} addgroup "$user" "$group"
    done
}

# What a power cut left of the account tools: locks whose process is gone, and files not yet renamed. A lock holds the
# number of its process, which another boot may have given to anybody. Sets was_cut when there was any.
clear_locks() {
    for name in passwd shadow group gshadow subuid subgid; do
        lock=/etc/$name.lock
        if [ -e "$root$lock" ] || [ -h "$root$lock" ]; then
            ! lock_lives "$root$lock" || continue
            clear_left "$lock"
            say "user: $lock is of no process that lives, and was removed"
        fi
        set +f
        set -- "$root/etc/$name+" "$root/etc/$name".[0-9]*
        set -f
        for left in "$@"; do
            case ${left#"$root/etc/$name"} in
                + | .*[!0-9]*) [ "$left" = "$root/etc/$name+" ] || continue ;;
            esac
            [ ! -e "$left" ] || clear_left "${left#"$root"}"
        done
    done
}

clear_left() {
    if [ -n "$dry_run" ]; then
        say "would remove $1"
    else
        rm -f "$root$1" 2>/dev/null
        touched "$root/etc"
    fi
    was_cut=yes
}

# lock_lives FILE: it was made in this boot, by a process that still runs and is an account tool.
lock_lives() {
    epoch
    [ "$(stat -c %Y "$1")" -ge $((boot - 60)) ] || return 1
    value=$(tr -d '\000\n ' <"$1")
    number "$value" 1 999999999 || return 1
    one_line "/proc/$number/comm"
    has "$value" 'useradd usermod userdel groupadd groupmod groupdel gpasswd passwd chpasswd chage chsh chfn vipw vigr
 pwconv pwck grpconv grpck newusers adduser addgroup'
}

make_home() {
    if [ -n "$dry_run" ]; then
        say "would make $home"
        return
    fi
    make_room_for_homes
    folder "$home" 0700
    [ "$me" != 0 ] || chown "$uid:$gid" "$root$home"
}

step_sudo() {
    if [ -z "$user" ]; then
        did='no user name: skipped'
        return
    fi
    changed=''
    if tree_has sudo || { [ -d "$root/etc/sudoers.d" ] && ! tree_has doas; }; then
        if fixed /etc/sudoers.d || { [ ! -d "$root/etc/sudoers.d" ] && fixed /etc; }; then
            left_as_it_is /etc/sudoers.d
            return
        fi
        if [ -d "$root/etc/sudoers" ] || { [ -e "$root/etc/sudoers.d" ] && [ ! -d "$root/etc/sudoers.d" ]; }; then
            warn "/etc/sudoers is a folder, or /etc/sudoers.d is none: $user is not given sudo"
            did='left as it is'
            return
        fi
        # a word in capitals would be an alias
        case $user in
            *[A-Z]*) quoted=\"$user\" ;;
            *) quoted=$user ;;
        esac
        [ -d "$root/etc/sudoers.d" ] || folder /etc/sudoers.d 0750
        write_sudoers
        did="$user may sudo"
    elif tree_has doas; then
        if fixed /etc; then
            left_as_it_is "doas's rule"
            return
        fi
        if [ -d "$root/etc/doas.conf" ]; then
            warn "/etc/doas.conf is a folder: $user is not given doas"
            did='left as it is'
            return
        fi
        # not every doas reads its folder
        if [ -d "$root/etc/doas.d" ] && grep -q /etc/doas.d "$root$folder/doas"; then
            rule_file /etc/doas.d .conf
            line "permit nopass $user" >"$work/text"
            put "$rule_file" 0400 <"$work/text"
        else
            { unmarked "$root/etc/doas.conf"; marked "permit nopass $user"; } >"$work/doas"
            put /etc/doas.conf 0400 <"$work/doas"
        fi
        did="$user may doas"
    else
        warn "neither sudo nor doas is there: $user cannot become root"
        did=skipped
        return
    fi
    [ -n "$changed" ] || did="$did already"
}

left_as_it_is() {
    warn "$1: read-only, and stays as the image has it"
    did='left as it is'
}

# Checked before it is in force: one bad line in sudoers would shut everybody out.
write_sudoers() {
    close_to_others
    rule_file /etc/sudoers.d ''
    line "# Written by azure-provisioning$NEWLINE$quoted ALL=(ALL:ALL) NOPASSWD: ALL" >"$work/sudoers"
    read_sudoers
    # the rule is a fixed text with a name that was checked: among the usual it can break nothing
    [ "$included$sudoers_plain$rule_last" = yesyesyes ] || cmp -s "$work/sudoers" "$root$rule_file" ||
        check_sudoers "$work/sudoers"
    put "$rule_file" 0440 <"$work/sudoers"
    set +f
    set -- "$root"/etc/sudoers.d/*90-azure-provisioning
    set -f
    for other in "$@"; do
        ! is_ours "${other##*/}" || [ "$other" = "$root$rule_file" ] || [ ! -e "$other" ] || clear_left "${other#"$root"}"
    done
    read_sudoers
    [ -n "$sudoers_there" ] && [ "$included$rule_last" != yesyes ] || return 0
    # sudo before 1.9.1 knows it with # only; our file alone, since a second look at all would define aliases twice
    { unmarked "$root/etc/sudoers"; marked "#include $rule_file"; } >"$work/text"
    if ! cmp -s "$work/text" "$root/etc/sudoers" && [ -z "$dry_run" ] && have visudo &&
        ! try visudo -c -q -f "$work/text"; then
        warn "/etc/sudoers stays as it is: $error" # it has faults of its own
        return 0
    fi
    rewrite /etc/sudoers
}

# sudo takes nothing from what others than root could write (sudoers(5)). Sets sudo_mode, too, by the same look.
close_to_others() {
    [ -z "$dry_run" ] && [ "$me" = 0 ] || return 0
    set --
    for path in "$root/etc/sudoers" "$root/etc/sudoers.d"; do [ ! -e "$path" ] || set -- "$@" "$path"; done
    [ -n "$root" ] || ! path=$(command -v sudo) || set -- "$@" "$path"
    [ $# -gt 0 ] || return 0
    # shellcheck disable=SC2046 # two words a file
    look_at_owners $(stat -L -c '%u %a' "$@")
}

look_at_owners() {
    for path in /etc/sudoers /etc/sudoers.d; do
        [ -e "$root$path" ] || continue
        case $1:$2 in
            0:*[2367]? | 0:*[2367] | [1-9]*)
                chown 0 "$root$path"
                chmod go-w "$root$path"
                warn "others than root could write to $path, and sudo would not read it: it is root's alone from now on"
                ;;
        esac
        shift 2
    done
    sudo_mode=${1-}${2+ $2}
}

check_sudoers() { [ -n "$dry_run" ] || ! have visudo || run visudo -c -q -f "$1"; }

# rule_file FOLDER END: sets rule_file to our file in a folder whose last file counts: the usual one, or one that sorts
# after all others (but those that begin behind z: nothing would, for every such name there is one behind it); and
# rule_last, yes where it is the last.
rule_file() {
    set +f
    set -- "$1" "$2" "$root$1"/*
    set -f
    place=$1 ending=$2
    shift 2
    ours=90-azure-provisioning$ending rule_last=yes
    for other in "$@"; do
        other=${other##*/}
        ! is_ours "$other" || continue
        case $other in
            *'~' | *'*') continue ;;
            *.*) [ -n "$ending" ] || continue ;;
        esac
        [ "${other%"$ending"}$ending" = "$other" ] || continue
        if ! sorts_before "$other" '{'; then
            rule_last=''
            continue
        fi
        while ! sorts_before "$other" "$ours"; do
            case $ours in
                z*) ours=z$ours ;;
                *) ours=zz-$ours ;;
            esac
        done
    done
    rule_file=$place/$ours
}

is_ours() {
    case ${1#"${1%%[!z]*}"} in
        90-azure-provisioning | -90-azure-provisioning) return 0 ;;
        90-azure-provisioning.conf | -90-azure-provisioning.conf) return 0 ;;
    esac
    return 1
}

# sorts_before ONE OTHER: as bytes; the names are sorted by the shell itself, whose patterns all shells sort alike.
sorts_before() {
    # shellcheck disable=SC3012 # all our shells have it
    [ "$1" \< "$2" ]
}

# Sets included, yes where /etc/sudoers takes in /etc/sudoers.d and no rule of its own comes after that; sudoers_plain,
# yes where it holds nothing but what is usual, and ours_included, yes where our file is taken in by its name.
read_sudoers() {
    [ "$sudoers_known" != "/${rule_file-}" ] || return 0
    sudoers_known=/${rule_file-}
    included='' sudoers_plain=yes ours_included='' sudoers_there='' skipping='' sudo_defaults=''
    [ -e "$root/etc/sudoers" ] || return 0
    sudoers_there=yes
    while read -r text || [ -n "$text" ]; do
        case $text in
            "$BEGINS") skipping=yes ;;
            "$ENDS")
                skipping=''
                continue
                ;;
        esac
        if [ -n "$skipping" ]; then
            [ "$text" != "#include ${rule_file-}" ] || ours_included=yes
            continue
        fi
        case $text in
            [@\#]includedir[\ $TAB]*)
                # shellcheck disable=SC2086 # words
                set -- $text
                case ${2%/} in
                    /etc/sudoers.d) included=yes ;;
                esac
                ;;
            '' | '#'* | @*) ;;
            Defaults*) sudo_defaults=$sudo_defaults$text$NEWLINE ;;
            root[\ $TAB]* | %*) included='' ;;
            *) included='' sudoers_plain='' ;;
        esac
    done <"$root/etc/sudoers"
}

# tree_has PROGRAM: the tree itself has it.
tree_has() {
    for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
        [ ! -e "$root$folder/$1" ] || return 0
    done
    return 1
}

BEGINS='# azure-provisioning begins' ENDS='# azure-provisioning ends'
marked() { line "$BEGINS$NEWLINE$1$NEWLINE$ENDS"; }

# A file without what we wrote into it before.
unmarked() {
    [ ! -f "$1" ] || awk -v begins="$BEGINS" -v ends="$ENDS" '
        $0 == begins { ours = 1 }
        !ours { print }
        $0 == ends { ours = 0 }' "$1"
}

# ---- what sshd reads ----

# sshd_flat FILE DEPTH: all lines of sshd's files, in sshd's order; an Include becomes what it includes, between brackets: a
# Match block ends with its file, not with the file that includes it. Where files include themselves, sshd gives up, and so
# does this: it ends the subshell.
sshd_flat() {
    if [ ! -r "$1" ]; then
        [ ! -h "$1" ] || line LeadsNowhere # sshd does not start then
        return 0
    fi
    [ "$2" -le 16 ] || { line IncludesItself && exit; }
    while read -r text || [ -n "$text" ]; do
        case $text in
            '' | '#'*) ;;
            [Ii][Nn][Cc][Ll][Uu][Dd][Ee][\ =\"$TAB]* | \"[Ii][Nn][Cc][Ll][Uu][Dd][Ee]\"*)
                sshd_included "${text#*[Ee][\ =\"$TAB]}" "$2"
                ;;
            *) line "$text" ;;
        esac
    done <"$1"
}

sshd_included() {
    IFS=" $TAB=\"'$CR"
    # shellcheck disable=SC2086 # the depth, and patterns, one a word
    set -- $(($2 + 1)) $1
    IFS=" $TAB$NEWLINE"
    pattern_of=''
    for pattern in "$@"; do
        [ -n "$pattern_of" ] || { pattern_of=yes && continue; }
        case $pattern in
            '') continue ;;
            '#'*) break ;;
            /*) ;;
            *) pattern=/etc/ssh/$pattern ;;
        esac
        set +f
        for file in "$root"$pattern; do
            set -f
            line '#azp('
            sshd_flat "$file" "$1"
            line '#azp)'
        done
        set -f
    done
}

# What the files say to one user: "flags PLAIN UNSURE OPENS SHUTS", then a line for each keyword with its values, tabs between.
# PLAIN: nothing in it has a say in who gets in, so that sshd need not be asked. UNSURE: a Match block asks for something
# that only the connection will tell. OPENS: one switches passwords on. SHUTS: one that goes by the connection may keep the
# user out.
SSHD_WORDS='
function fits(text, pattern,   i, c, re) {
    for (i = 1; i <= length(pattern); i++) {
        c = substr(pattern, i, 1)
        re = re (c == "*" ? ".*" : c == "?" ? "." : c == "^" ? "\\^" : c == "\\" ? "\\\\" : "[" c "]")
    }
    return text ~ "^" re "$"
}
# whether one of the names, with blanks between, is in a list of patterns
function listed(names, patterns, between,   p, n, i, m, j, name, inside, bare) {
    n = split(patterns, p, between)
    m = split(names, name, " ")
    for (i = 1; i <= n; i++) {
        bare = p[i]
        if (between == ",") sub(/^!/, "", bare) # in AllowUsers and the like it is a letter
        for (j = 1; j <= m; j++) if (fits(name[j], bare)) {
            if (bare != p[i]) return 0
            inside = 1
        }
    }
    return inside + 0
}
function keyword(name) {
    name = tolower(name)
    if (name == "challengeresponseauthentication" || name == "skeyauthentication") return "kbdinteractiveauthentication"
    if (name == "pubkeyacceptedkeytypes") return "pubkeyacceptedalgorithms"
    if (name == "dsaauthentication") return "pubkeyauthentication"
    return name == "rsaauthentication" ? "protocol" : name
}
BEGIN { LISTS = "^((allow|deny)(users|groups)|hostkey|listenaddress)$" }
function take(inside, name, value) {
    if (inside) {
        if (!(name in matched)) matched[name] = value
        else if (name ~ LISTS) matched[name] = matched[name] "\t" value
    } else if (!(name in usual)) { usual[name] = value; order[++count] = name }
    else if (name ~ LISTS) usual[name] = usual[name] "\t" value
    if ((name in matched) && !(name in usual)) { usual[name] = ""; order[++count] = name }
}
function print_all(   i) {
    for (i = 1; i <= count; i++) print order[i] "\t" ((order[i] in matched) ? matched[order[i]] : usual[order[i]])
}
'
PAM_RULES='
# What the rules of PAM for accounts and sessions have against the owner, as far as they can be read (pam.d(5)), and hosts.deny.
# modules is the folder of its modules. With quick, pam_hit says whether there is anything to say; else it is printed.
function bare(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
# a file that is being read is there: to look again would begin it anew
function there(file,   s, seen) {
    if (file in pam_open || is_folder(file)) return 1
    seen = (getline s <file)
    close(file)
    return seen >= 0
}
function is_folder(file) { return index(" " folders " ", " " file "/ ") > 0 }
function pam_path(root, name) {
    if (name ~ /^\//) return name
    if (!there(root "/etc/pam.d/" name) && there(root "/usr/lib/pam.d/" name)) return "/usr/lib/pam.d/" name
    return "/etc/pam.d/" name
}
function pam_has_a_say(root, service) {
    pam_quick = 1
    pam_hit = 0
    pam(root, service)
    return pam_hit
}
function pam(root, service,   i, n, kinds, kind) {
    pam_service = service
    pam_of = service == "sshd" ? "" : " of " service
    pam_n = pam_read = 0
    split("", pam_told)
    pam_file(root, pam_path(root, service), "", 0)
    # types it has no rule of are those of "other"
    n = split(pam_types == "" ? "account session" : pam_types, kinds, " ")
    while (++kind <= n) {
        for (i = 1; i <= pam_n && pam_kind[i] != kinds[kind]; i++) ;
        if (i > pam_n) pam_file(root, pam_path(root, "other"), kinds[kind], 0)
    }
    if (!pam_n && modules != "" && service == "sshd")
        pam_say(there(root "/etc/pam.conf") ? "/etc/pam.conf alone may let " user " in: /etc/pam.d has no rules" : "PAM has no rules for sshd: it lets nobody in")
    for (i = 1; i <= pam_n; i++) if (pam_kind[i] == "") { pam_asked(root, i); pam_say(pam_doubt); kind = 0 }
    if (!kind || !pam_n) return
    for (kind = 1; kind <= n; kind++) pam_walk(root, kinds[kind])
}
# What is said of the rules of a type that are reached, if every module says yes of which nothing is known. If none does,
# PAM refuses (pam.conf(5)).
function pam_walk(root, kind,   i, doubted, said, doubts) {
    pam_rules = 0
    for (i = 1; i <= pam_n; i++) if (pam_kind[i] == kind) pam_rule_of[++pam_rules] = i
    said = pam_follow(root, 1, 0, 1, doubts)
    for (i = 1; i <= said; i++) if (doubts[i] != "") { pam_say(doubts[i]); doubted = 1 }
    if (!said || pam_refused && !doubted) pam_say("no " kind " rule of PAM for " pam_service " says yes: it lets nobody in")
}
# The doubts from a rule on, of which some were said before; how many there are. pam_refused: a jump led past the last.
# Where a module may say no, the way around it is tried, if nobody there says no without being asked to.
function pam_follow(root, at, said, doubting, doubts,   i, got, doubt, no, settings, around, n, j, fine) {
    pam_refused = 0
    while (at <= pam_rules && !pam_refused) {
        i = pam_rule_of[at]
        settings = pam_settings[i]
        pam_asked(root, i)
        got = pam_got
        doubt = pam_doubt
        if (got == "success" && doubt != "") {
            no = pam_action(settings, "default")
            fine = 0
            if (doubting && no ~ /^(ignore|[0-9]+)$/) {
                split("", around)
                j = pam_after(at, no)
                n = pam_refused ? 0 : pam_follow(root, j, said > 0, 0, around)
                fine = n && !pam_refused
                for (j = 1; j <= n; j++) if (around[j] != "") fine = 0
                for (j = 1; j <= said; j++) if (doubts[j] != "") fine = 0
                pam_refused = 0
            }
            if (!doubting || fine) doubt = ""
            else doubts[++said] = doubt
        }
        no = pam_action(settings, got)
        if (no == "reset") said = 0
        else if (no !~ /^(ignore|[0-9]+)$/) doubts[++said] = doubt
        at = pam_after(at, no)
    }
    return said
}
# where PAM goes on after a rule; pam_refused: behind the last, by a jump
function pam_after(at, action,   depth, i) {
    depth = pam_depth[pam_rule_of[at++]]
    pam_refused = 0
    if (action ~ /^[0-9]/) # so many rules of this depth are left out, each with its substack
        for (i = action + 0; i > 0 && !pam_refused; i--) {
            if (at > pam_rules) pam_refused = 1
            for (at++; at <= pam_rules && pam_depth[pam_rule_of[at]] > depth; at++) ;
        }
    else if (action == "done" || action == "die") while (at <= pam_rules && pam_depth[pam_rule_of[at]] >= depth) at++
    return at
}
function pam_action(settings, got,   n, w, i, action) {
    action = "bad"
    n = split(settings, w, " ")
    for (i = 1; i <= n; i++) if (index(w[i], "default=") == 1) action = substr(w[i], 9)
    for (i = 1; i <= n; i++) if (index(w[i], got "=") == 1) action = substr(w[i], length(got) + 2)
    return action
}
# sets pam_got, what PAM gets of the module of a rule, and pam_doubt, what is to be said of that
function pam_asked(root, i,   module, name) {
    module = pam_module[i]
    name = module
    sub(/.*\//, "", name)
    sub(/\..*/, "", name)
    pam_got = "success"
    pam_doubt = ""
    if (pam_settings[i] == "") {
        pam_got = "broken"
        pam_doubt = module ": " pam_service " lets nobody in"
    } else if (modules != "" && !there(module ~ /^\// ? root module : modules "/" module)) {
        pam_got = "module_unknown"
        pam_doubt = pam_in[i] (module ~ /\r$/ ? " has lines that end in CR LF" : " wants " module ", which is not there") ": " pam_service " lets nobody in"
    } else if (name == "pam_deny") {
        pam_got = pam_kind[i] == "session" ? "session_err" : "auth_err"
        pam_doubt = "pam_deny keeps everybody out" pam_of ": " pam_in[i]
    } else if (pam_asks(pam_kind[i], name, pam_rest[i])) {
        pam_doubt = pam_quick && name !~ /^pam_(limits|namespace|env)$/ ? "?" : pam_against(root, name, pam_rest[i])
        if (pam_doubt != "" && name ~ /^pam_(sss|ldap|winbind)$/) pam_got = "user_unknown"
        if (pam_doubt != "") pam_doubt = name " may keep " user " out" pam_of ": " pam_doubt
    }
}
# whether such a rule can keep somebody out; limits of * are not those of root, whom sudo makes
function pam_asks(kind, name, rest,   said) {
    if (name == "pam_debug") {
        said = pam_option(rest, kind == "auth" ? "auth" : kind == "account" ? "acct" : "open_session")
        return said != "" && said != "success"
    }
    if (name ~ /^pam_(setquota|namespace)$/) return kind == "session"
    if (name ~ /^pam_(userdb|shells|listfile|succeed_if)$/) return kind != "session" && !(name == "pam_succeed_if" && pam_regular(rest))
    if (name ~ /^pam_(ftp|rhosts)$/) return kind == "auth"
    if (name == "pam_env") return kind != "account"
    if (name == "pam_usertype") return kind != "session" && (" " rest " ") ~ / issystem /
    if (name ~ /^pam_(sss|ldap|winbind)$/) return kind == "account" && (" " rest " ") !~ / ignore_unknown_user /
    if (name == "pam_limits") return kind == "session" && (pam_service == "sshd" || rest ~ /conf=/)
    if (name == "pam_loginuid") return kind == "session" && rest ~ /require_auditd/
    if (name ~ /^pam_(nologin|localuser)$/) return kind != "session" && rest ~ /(^| )file=/
    return kind == "account" && name ~ /^pam_(time|wheel)$/ || name ~ /^pam_(exec|access)$/
}
# whether pam_succeed_if asks for a user id, or a group, that the owner has: uid >= 1000
function pam_regular(rest,   w) {
    gsub(/(^| )(quiet|use_uid)[^ ]*/, "", rest)
    if (split(rest, w, " ") != 3) return 0
    if (w[1] == "user" && w[2] == "ingroup") return !pam_quick && index(" " groups " ", " " w[3] " ") > 0
    return w[1] == "uid" && w[2] == ">=" && w[3] ~ /^[0-9]+$/ && (pam_quick || uid + 0 >= w[3] + 0)
}
function pam_option(rest, name,   n, w, i) {
    n = split(rest, w, " ")
    for (i = 1; i <= n; i++) if (index(w[i], name "=") == 1) return substr(w[i], length(name) + 2)
    return ""
}
function pam_limit(root, rest,   n, w, i, file, files, s, conf, found) {
    conf = pam_option(rest, "conf")
    if (conf != "" && !there(root conf)) return conf " is not there"
    file = "/security/limits.conf"
    if (conf == "" && !there(root "/etc" file) && !there(root "/usr/share/pam" file) && !there(root "/usr/etc" file))
        return "/etc" file " is not there"
    n = split(conf != "" ? root conf : root "/etc/security/limits.conf " limits, files, " ")
    for (i = 1; i <= n && found == ""; i++) {
        if (!there(files[i])) continue
        while (found == "" && (getline s <files[i]) > 0) {
            sub(/#.*/, "", s)
            if (split(s, w, " ") != 4 || w[3] != "chroot" && (w[4] !~ /^[0-9]+$/ || w[4] + 0 >= pam_least(w[3]))) continue
            if (pam_quick || pam_limited(w[1])) found = w[1] " " w[2] " " w[3] " " w[4]
        }
        close(files[i])
    }
    return found
}
# the least of an item of limits.conf(5) with which a shell can be had: KiB, programs, files, minutes, logins
function pam_least(item) {
    if (item ~ /^(as|data)$/) return 1024
    if (item == "stack") return 64
    return item == "nproc" ? 4 : item == "nofile" ? 10 : item ~ /^(cpu|maxlogins|maxsyslogins)$/
}
# whether a limit is for the owner: all, a name, @GROUP, %GROUP, or a range of user ids
function pam_limited(whom,   w) {
    if (whom ~ /^[@%]./) return index(" " groups " ", " " substr(whom, 2) " ") > 0
    if (whom ~ /^[0-9]*:[0-9]*$/ && whom != ":") {
        split(whom, w, ":")
        if (w[1] == "") w[1] = w[2]
        return uid + 0 >= w[1] + 0 && (w[2] == "" || uid + 0 <= w[2] + 0)
    }
    return whom == "*" || whom == "%" || whom == user
}
function pam_auditd(root,   n, folder, i) {
    n = split("/usr/bin /usr/sbin /usr/local/sbin /usr/local/bin /sbin /bin", folder, " ")
    for (i = 1; i <= n; i++) if (there(root folder[i] "/auditd")) return ""
    return "there is no auditd"
}
# The lines that PAM reads: without comments, joined at a backslash
function pam_file(root, path, only, depth,   s, whole, cut) {
    pam_open[root path] = 1
    pam_read++
    while (!is_folder(root path) && (getline s <(root path)) > 0) {
        cut = index(s, "#")
        if (cut) s = substr(s, 1, cut - 1)
        gsub(/\t/, " ", s)
        gsub(/^ +| +$/, "", s)
        if (!cut && s ~ /\\$/) whole = whole substr(s, 1, length(s) - 1) " "
        else if (s != "") {
            s = whole s
            whole = ""
            sub(/^ +/, "", s)
            pam_line(root, path, s, only, depth)
        }
    }
    if (whole != "") pam_rule(only, "", path " ends within a line, which PAM before 1.7 does not read", "", path, depth)
    close(root path)
    delete pam_open[root path]
}
# A line is type, control, module and arguments; [...] is one word (pam.d(5)).
function pam_line(root, path, s, only, depth,   kind, control, how, module, rest, settings) {
    kind = tolower(pam_word(s, " "))
    rest = pam_rest_of
    control = pam_word(rest, rest ~ /^\[/ ? "]" : " ")
    if (rest ~ /^\[/ && index(rest, "]")) control = control "]"
    module = pam_word(pam_rest_of, " ")
    rest = pam_rest_of
    gsub(/ +/, " ", rest)
    if (kind == "@include") pam_included(root, control, only, path, only, depth)
    sub(/^-+/, "", kind) # with - PAM is silent about a missing module, no more
    if (kind !~ /^(auth|account|session)$/ || only != "" && kind != only) return
    how = tolower(control)
    if (how == "include" || how == "substack") pam_included(root, module, kind, path, kind, depth + (how == "substack"))
    else {
        settings = module == "" ? "" : pam_control(control)
        gsub(/ +/, " ", s)
        pam_rule(kind, settings, settings == "" ? path " has a line that PAM does not understand (" s ")" : module, rest, path, depth)
    }
}
# the text up to the mark; pam_rest_of is what comes behind it
function pam_word(s, mark,   i) {
    i = index(s, mark)
    pam_rest_of = i ? substr(s, i + 1) : ""
    gsub(/^ +| +$/, "", pam_rest_of)
    return i ? substr(s, 1, i - 1) : s
}
function pam_included(root, name, kind, by, only, depth,   path) {
    path = name == "" ? "" : pam_path(root, name)
    if ((root path) in pam_open) pam_rule(kind, "", by " includes itself", "", by, depth)
    else if (pam_read >= 100) pam_rule(kind, "", "the rules of PAM include files without end", "", by, depth)
    else if (name == "") pam_rule(kind, "", by " includes nothing", "", by, depth)
    else if (!there(root path)) pam_rule(kind, "", by " includes " name ", which is not there", "", by, depth)
    else pam_file(root, path, only, depth)
}
# What follows from the answers of a module; "" where PAM does not understand it.
function pam_control(control,   n, w, i, action) {
    if (control !~ /^\[.*\]$/) {
        control = tolower(control)
        if (control == "required") return "success=ok default=bad"
        if (control == "requisite") return "success=ok default=die"
        if (control == "sufficient") return "success=done default=ignore"
        return control == "optional" ? "success=ok default=ignore" : ""
    }
    control = substr(control, 2, length(control) - 2)
    gsub(/ =/, "=", control)
    gsub(/= /, "=", control)
    gsub(/^ +| +$/, "", control)
    n = split(control, w, / +/)
    for (i = 1; i <= n; i++) {
        action = index(w[i], "=") ? substr(w[i], index(w[i], "=") + 1) : ""
        if (action !~ /^(ignore|bad|die|ok|done|reset|[0-9][0-9]?[0-9]?)$/ || action ~ /^0+$/) return ""
    }
    return control
}
function pam_rule(kind, settings, module, rest, file, depth) {
    pam_kind[++pam_n] = kind
    pam_settings[pam_n] = settings
    pam_module[pam_n] = module
    pam_rest[pam_n] = rest
    pam_in[pam_n] = file
    pam_depth[pam_n] = depth
}
function pam_say(text) {
    if (pam_quick) pam_hit = 1
    else if (!(text in pam_told)) print bare(text)
    pam_told[text] = 1
}
# a variable of pam_env.conf(5) that is asked for and not closed, which ends the session
function pam_unclosed(root, file,   s, whole, found, n, piece, i) {
    file = root (file == "" ? "/etc/security/pam_env.conf" : file)
    while (!is_folder(file) && found == "" && (getline s <file) > 0) {
        if (s ~ /^#/) continue
        sub(/#.*/, "", s)
        gsub(/\t/, " ", s)
        gsub(/^ +| +$/, "", s)
        if (s ~ /\\$/) { whole = whole substr(s, 1, length(s) - 1) " "; continue }
        whole = whole s
        s = whole
        gsub(/@[{]/, "${", s)
        n = split(s, piece, "[$][{]")
        for (i = 2; i <= n; i++) if (!index(piece[i], "}")) found = whole
        whole = ""
    }
    close(file)
    return found
}
function pam_against(root, name, rest,   s, last, file) {
    if (name ~ /^pam_(listfile|succeed_if|exec|wheel|setquota|userdb|ftp|rhosts|debug|usertype)$/) return rest == "" ? "?" : rest
    if (name ~ /^pam_(sss|ldap|winbind)$/) return "it knows no account of this machine"
    if (name == "pam_namespace") {
        file = "/security/namespace.conf"
        return there(root "/etc" file) || there(root "/usr/share/pam" file) || there(root "/usr/etc" file) ? "" : "/etc" file " is not there"
    }
    if (name == "pam_limits") return pam_limit(root, rest)
    if (name == "pam_loginuid") return pam_auditd(root)
    file = pam_option(rest, "file")
    if (name == "pam_nologin") return there(root file) ? file " is there" : ""
    if (name == "pam_localuser") {
        while ((getline s <(root file)) > 0) if (index(s, user ":") == 1) last = s
        close(root file)
        return last == "" ? rest : ""
    }
    if (name == "pam_shells") {
        if (!there(root "/etc/shells")) return ""
        if (shell == "") shell = "/bin/sh"
        if (!system("test -n \"$(find " root "/etc/shells -perm -2)\"")) return "everybody can write to /etc/shells"
        while ((getline s <(root "/etc/shells")) > 0) { gsub(/^[ \t\r]+|[ \t\r]+$/, "", s); if (s == shell) return "" }
        return shell " is not in /etc/shells"
    }
    if (name == "pam_env") return pam_unclosed(root, pam_option(rest, "conffile"))
    file = root "/etc/security/" (name == "pam_time" ? "time.conf" : "access.conf")
    if (name == "pam_access" && (s = pam_option(rest, "accessfile")) != "") {
        file = root s
        if (!there(file)) return s " is not there"
    }
    while ((getline s <file) > 0) if (name == "pam_time" ? s ~ /^[ \t]*[^# \t]/ : s ~ /^-/) last = s
    close(file)
    return last
}
# whether a line of hosts.allow or hosts.deny is about sshd: its list of daemons may have another behind EXCEPT
function about_sshd(s,   n, word, i, part, about) {
    sub(/#.*/, "", s)
    sub(/:.*/, "", s)
    gsub(/[,\t ]+/, " ", s)
    n = split(s, word, " ")
    for (i = n; i; i--) {
        if (word[i] == "ALL" || word[i] == "sshd") part = 1
        if (i == 1 || word[i] == "EXCEPT") { about = !about && part; part = 0 }
    }
    return about
}
# the line by which libwrap may keep clients out (hosts_access(5), hosts_options(5)); sets denied_in, its file
function denied_host(root,   s, n, i, option, allowed, found) {
    denied_in = "/etc/hosts.allow"
    while (found == "" && (getline s <(root denied_in)) > 0) if (about_sshd(s)) {
        allowed = 1
        n = split(s, option, ":")
        for (i = 3; i <= n; i++) if (option[i] ~ /^[ \t\r]*deny[ \t\r]*$/) found = s
    }
    close(root denied_in)
    if (found == "" && !allowed) {
        denied_in = "/etc/hosts.deny"
        while ((getline s <(root denied_in)) > 0) if (about_sshd(s)) found = s
        close(root denied_in)
    }
    gsub(/^[ \t\r]+|[ \t\r]+$/, "", found)
    return found
}
'
PAM_DOUBTS='
BEGIN {
    if (uses_pam == "yes") pam(root, service)
    if (service == "sshd" && (denied = denied_host(root)) != "")
        print denied_in " may keep " user " out: " bare(denied)
}
'
SSHD_READ='
# quotes of both kinds hold a word together, a backslash keeps a quote, # ends the line
function words(s,   i, c, next_one, quote, word, some, out) {
    n_words = 0
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        next_one = substr(s, i + 1, 1)
        if (c == "\\" && (next_one == "\\" || next_one == "\"" || next_one == "\047" || next_one == " " && quote == "")) {
            word = word next_one
            some = 1
            i++
        } else if (quote != "") { if (c == quote) quote = ""; else word = word c }
        else if (c == " " || c == "\t") { if (some) w[++n_words] = word; word = ""; some = 0 }
        else if (c == "\"" || c == "\047") { quote = c; some = 1 }
        else if (c == "#" && !some) break
        else { word = word c; some = 1 }
    }
    if (some) w[++n_words] = word
}
# 1: a Match block is about this user; 0: it is not; 2: only the connection will tell
function applies(   i, attribute, value, sure) {
    sure = 1
    for (i = 1; i <= n_words; ) {
        attribute = tolower(w[i])
        value = ""
        if (index(attribute, "=")) { value = substr(w[i], index(w[i], "=") + 1); sub(/=.*/, "", attribute); i++ }
        else if (attribute == "all") { i++; continue }
        else { value = i < n_words ? w[i + 1] : ""; i += 2 }
        if (attribute == "user") { if (!listed(user, value, ",")) return 0 }
        else if (attribute == "group") { if (!listed(groups, value, ",")) return 0 }
        else if (attribute == "invalid-user") return 0
        else if (attribute != "all") sure = 2
    }
    return sure
}
BEGIN {
    depth = 0
    active[0] = begins[0] = 1
    inside[0] = maybe[0] = 0 # gawk 5.2 fails where an element that was never set is handed to a function
    plain = "yes"
    n = split("acceptenv addressfamily allowagentforwarding allowstreamlocalforwarding allowtcpforwarding banner " \
        "channeltimeout ciphers clientalivecountmax clientaliveinterval compression debianbanner exposeauthinfo " \
        "fingerprinthash gatewayports gssapiauthentication gssapicleanupcredentials gssapikexalgorithms " \
        "gssapikeyexchange gssapistorecredentialsonrekey gssapistrictacceptorcheck hostbasedauthentication hostkey " \
        "hostkeyalgorithms ignorerhosts ignoreuserknownhosts include ipqos kbdinteractiveauthentication " \
        "kerberosauthentication kexalgorithms listenaddress logingracetime loglevel macs maxauthtries " \
        "maxstartups passwordauthentication permitemptypasswords permitrootlogin permittty permittunnel " \
        "permituserenvironment pidfile port printlastlog printmotd protocol rekeylimit strictmodes subsystem " \
        "syslogfacility tcpkeepalive unusedconnectiontimeout usedns usepam useprivilegeseparation versionaddendum " \
        "x11displayoffset x11forwarding x11uselocalhost", part, " ")
    for (i = 1; i <= n; i++) quiet[part[i]] = 1
    n = split("allowusers denyusers allowgroups denygroups authorizedkeysfile authenticationmethods chrootdirectory " \
        "forcecommand pubkeyacceptedalgorithms requiredrsasize revokedkeys", part, " ")
    for (i = 1; i <= n; i++) confines[part[i]] = 1
    n = split("acceptenv banner hostkey include listenaddress loglevel pidfile subsystem syslogfacility versionaddendum", part, " ")
    for (i = 1; i <= n; i++) any_text[part[i]] = 1
    quiet["pubkeyauthentication yes"] = quiet["permituserrc yes"] = quiet["disableforwarding no"] = 1
}
function enter() { begins[depth + 1] = active[depth + 1] = active[depth]; inside[depth + 1] = inside[depth]; maybe[depth + 1] = 0; depth++ }
# the usual Include, of files that the shell has named; any other is for the shell
function included(   n, file, i, s) {
    if (depth || n_words != 1 || w[1] !~ /^(\/etc\/ssh\/)?sshd_config\.d\/\*\.conf$/) { odd = 1; exit }
    n = split(drop_ins, file, " ")
    for (i = 1; i <= n; i++) {
        enter()
        while ((getline s <file[i]) > 0) one(s)
        close(file[i])
        depth--
    }
}
function one(s,   name, rest, verdict, value, i) {
    text = s
    gsub(/^[ \t\r\f]+|[ \t\r\f]+$/, "", text)
    if (text == "" || text ~ /^#/) return
    if (text ~ /^"/) {
        name = substr(text, 2)
        sub(/".*/, "", name)
        rest = substr(text, length(name) + 3)
    } else {
        name = text
        sub(/[ \t\r\f="].*/, "", name)
        rest = substr(text, length(name) + 1)
    }
    sub(/^[ \t\r\f]+/, "", rest)
    if (rest ~ /^=/) sub(/^=[ \t\r\f]*/, "", rest)
    name = keyword(name)
    if (name == "") return
    words(rest)
    if (name == "include" && direct) { included(); return }
    if (name == "match") {
        verdict = applies()
        inside[depth] = 1
        active[depth] = begins[depth] && verdict == 1
        maybe[depth] = begins[depth] && verdict == 2
        plain = "no"
        if (verdict == 2) unsure = 1
        return
    }
    if (inside[depth] && (name == "passwordauthentication" || name == "kbdinteractiveauthentication") && n_words && w[1] == "yes")
        opens = 1
    if (maybe[depth] && (name in confines || n_words == 1 && (name " " w[1]) ~ /^(pubkeyauthentication no|maxsessions 0|maxauthtries 0|refuseconnection yes)$/))
        shuts = 1
    for (i = 1; i <= n_words; i++) if (maybe[depth] && name == "setenv" && w[i] ~ /^PATH=/) shuts = 1
    if (!active[depth]) return
    value = n_words ? w[1] : ""
    for (i = 2; i <= n_words; i++) value = value "\t" w[i]
    take(inside[depth] + 0, name, value)
    if (name == "authorizedkeysfile") { if (value !~ /^(%h\/)?\.ssh\/authorized_keys(\t|$)/) plain = "no" }
    else if (name == "subsystem") { if (!n_words || (w[1] in subsystems)) plain = "no"; subsystems[w[1]] = 1 }
    else if (!((name " " value) in quiet) && (!(name in quiet) || !taken(name)) || name " " value == "maxauthtries 0") plain = "no"
}
# a number that any version takes, a time in hours, minutes or seconds among them
function usual_number(name, word) {
    if (name ~ /^(clientaliveinterval|logingracetime)$/) sub(/[smh]$/, "", word)
    return name != "rekeylimit" && word ~ /^[0-9]+$/ && word + 0 >= (name == "port") && word + 0 <= 65535 && name " " word != "logingracetime 1"
}
# whether sshd takes these values, by their looks: all others are for sshd itself to judge
function taken(name) {
    if (name in any_text) return n_words > 0
    if (name == "maxstartups")
        return n_words == 1 && w[1] ~ /^[0-9]+(:[0-9]+:[0-9]+)?$/ && w[1] !~ /(^|:)0*[01](:|$)/ && w[1] !~ /[1-9][0-9][0-9][0-9][0-9]/
    return n_words == 1 && (usual_number(name, w[1]) || tolower(w[1]) ~ /^(yes|no|none|prohibit-password|without-password|forced-commands-only|delayed|any|inet6?)$/)
}
$0 == "#azp(" && !direct { enter(); next }
$0 == "#azp)" && !direct { depth--; next }
{ one($0) }
function has_account(root, name,   s, found) {
    while ((getline s <(root "/etc/passwd")) > 0) if (index(s, name ":") == 1) found = 1
    while ((getline s <(root "/usr/lib/passwd")) > 0) if (index(s, name ":") == 1) found = 1
    return found
}
# whether the file system of /usr/bin is mounted so that sudo makes nobody root
function nosuid_mount(   s, field, options) {
    while ((getline s <"/proc/self/mounts") > 0) if (split(s, field, " ") > 3) options[field[2]] = field[4]
    s = ("/usr/bin" in options) ? options["/usr/bin"] : ("/usr" in options) ? options["/usr"] : options["/"]
    return index("," s ",", ",nosuid,") > 0
}
# whether useradd gives homes into which their owners and nobody else can write, whether PAM or hosts.deny has a say,
# whether sudo has other plugins than its own, and the host keys that are whole: read here since awk is quick at it
function others(root,   file, s, kind, n, i, first, said, open, around, plugins, nosuid, field) {
    open = "yes"
    n = split("/etc/login.defs /usr/etc/login.defs", kind, " ")
    for (i = 1; i <= n; i++) {
        file = root kind[i]
        while ((getline s <file) > 0) {
            split(s, field, " ")
            if (field[1] == "HOME_MODE" && field[2] !~ /[1357][0145][0145]$/) open = "no"
            if (field[1] == "UMASK" && field[2] !~ /(^|[0246])[2367][2367]$/) open = "no"
        }
    }
    around = pam_has_a_say(root, "sshd") || pam_has_a_say(root, "sudo") || denied_host(root) != "" ? "yes" : "no"
    plugins = "no"
    nosuid = root == "" && nosuid_mount() ? "yes" : "no"
    file = root "/etc/sudo.conf"
    while ((getline s <file) > 0) if (split(s, field, " ") > 1)
        if (field[1] == "Plugin" && (field[3] != "sudoers.so" || field[4] != "") || field[1] == "Path" && field[2] == "plugin_dir") plugins = "yes"
    said = open " " around " " plugins " " nosuid
    n = split("rsa ecdsa ed25519", kind, " ")
    for (i = 1; i <= n; i++) {
        file = root "/etc/ssh/ssh_host_" kind[i] "_key"
        first = 1
        while ((getline s <file) > 0) {
            if (first && s !~ /^-----BEGIN / || s ~ /ENCRYPTED|\r$/) break
            if (s ~ /^b3BlbnNzaC1rZXktdjEA/ && s !~ /^b3BlbnNzaC1rZXktdjEAAAAABG5vbmU/) break # it wants a passphrase
            if (s ~ /^-----END /) { said = said " " kind[i]; break }
            first = 0
        }
        close(file)
    }
    return said
}
END {
    if (odd) exit 3
    if (direct && !has_account(root, "sshd")) plain = "no" # without it, it does not start
    print "flags " plain " " (unsure ? "yes" : "no") " " (opens ? "yes" : "no") " " (shuts ? "yes" : "no") (direct ? " " others(root) : "")
    print_all()
}
'
# The same of what `sshd -T` prints; it prints without quotes what may hold a blank. The first file is what we read.
SSHD_ANSWER='
!answer { if ($0 ~ /^flags /) flags = $0; else own[substr($0, 1, index($0, "\t") - 1)] = substr($0, index($0, "\t") + 1); next }
{
    name = keyword($1)
    value = substr($0, length($1) + 2)
    mine = own[name]
    gsub(/\t/, " ", mine)
    if (mine == value) value = own[name]
    else gsub(/ /, "\t", value)
    take(0, name, value)
}
END {
    sub(/^flags yes/, "flags no", flags)
    print flags
    print_all()
}
'

# read_sshd [USER]: sets sshd_main, the file that sshd reads ("" when there is none), sshd_plain, sshd_unsure and
# sshd_opens; sshd_says asks for more.
read_sshd() {
    sshd_main='' sshd_plain=yes sshd_unsure=no sshd_opens=no sshd_shuts=no sshd_broken=''
    for file in /etc/ssh/sshd_config /usr/etc/ssh/sshd_config; do
        [ -n "$sshd_main" ] || [ ! -e "$root$file" ] || sshd_main=$file
    done
    : >"$work/sshd"
    [ -n "$sshd_main" ] || { sshd_plain=no && return 0; } # it does not start then
    groups_with "${1-}"
    sshd_usual "${1-}" || sshd_flat "$root$sshd_main" 0 |
        awk -v user="${1-}" -v groups="$user_groups" "$SSHD_WORDS$PAM_RULES$SSHD_READ" >"$work/sshd"
    sshd_flags
}

# sshd_usual USER: the same where the main file includes nothing but the usual folder: without this shell's reading
# byte by byte. 1 where there is more to it.
sshd_usual() {
    set +f
    set -- "$1" "$root"/etc/ssh/sshd_config.d/*.conf
    set -f
    [ -e "$2" ] || set -- "$1"
    drop_ins=''
    for file in "$@"; do
        [ "$file" = "$1" ] || drop_ins="$drop_ins $file"
    done
    case $root$drop_ins in
        *[!a-zA-Z0-9\ /._-]* | *..*) return 1 ;;
    esac
    for file in $drop_ins "$root$sshd_main"; do [ -r "$file" ] || return 1; done
    find_pam_modules
    awk -v direct=1 -v root="$root" -v drop_ins="$drop_ins" -v user="$1" -v groups="$user_groups" -v modules="$modules" -v limits="$limits" \
        -v folders="$folders" "$SSHD_WORDS$PAM_RULES$SSHD_READ" "$root$sshd_main" >"$work/sshd" 2>/dev/null
}

# Sets modules, the folder of PAM's; "" where it is not found; and limits, the files of pam_limits beside limits.conf;
# and folders, those among PAM's files: some awks end where they are to read one.
find_pam_modules() {
    set +f
    set -- "$root"/etc/pam.d/*/
    folders=$*
    set -- "$root"/etc/security/limits.d/*.conf
    limits=$*
    set -- "$root"/usr/lib/*-linux-*/security/pam_unix.so
    own=''
    # of two architectures: the one whose libraries this very shell has
    [ $# -lt 2 ] || while read -r _ _ _ _ _ mapped; do
        case $mapped in
            */lib/*-linux-*/libc*) mapped=${mapped%/libc*} own=${mapped##*/} ;;
        esac
    done </proc/self/maps
    for modules in ${own:+"$root/usr/lib/$own"} "$root"/usr/lib64 "$root"/lib64 "$root"/usr/lib "$root"/lib "$root"/usr/lib/*-linux-* "$root"/lib/*-linux-*; do
        modules=$modules/security
        [ ! -e "$modules/pam_unix.so" ] || break
        modules=''
    done
    set -f
}

# Sets whole_keys, too, the host keys that were seen to be whole; around_says, "no" where PAM and hosts.deny were seen to
# have no say; plugins, "no" where sudo was seen to have none but its own; nosuid, "no" where /usr/bin is mounted so that
# sudo works; and homes_open, "yes" where useradd was seen to
# make homes into which their owners, and nobody else, can write.
sshd_flags() {
    read -r _ sshd_plain sshd_unsure sshd_opens sshd_shuts homes_open around_says plugins nosuid whole_keys <"$work/sshd"
}

# groups_with USER: sets user_groups and their numbers, user_gids, separated by blanks.
groups_with() {
    user_groups='' user_gids=''
    [ -n "$1" ] || return 0
    account "$1" || gid=''
    user_gids=$gid
    for file in /etc/group /usr/lib/group; do
        [ -r "$root$file" ] || continue
        if [ $file = /etc/group ]; then entry "$1" group || :; else text_of "$root$file"; fi
        IFS=$NEWLINE
        # shellcheck disable=SC2086 # one line a word
        set -- "$1" $text
        IFS=" $TAB$NEWLINE"
        for text in "$@"; do
            group=${text%%:*} members=${text#*:*:} number=${members%%:*}
            case ,${members#*:}, in
                *",$1,"*) user_groups="$user_groups $group" user_gids="$user_gids $number" ;;
                *) [ -z "$gid" ] || [ "$number" != "$gid" ] || user_groups="$user_groups $group" ;;
            esac
        done
        text=''
    done
}

# ask_sshd: the same by sshd's own answer, where there is more in its files than the usual.
ask_sshd() {
    [ "$sshd_plain" = no ] && [ -z "$root$dry_run" ] && [ -n "$user" ] && sshd=$(command -v sshd) || return 0
    folder /run/sshd 0755
    # somewhere on the internet, where the owner most likely is (RFC 5737)
    if ! try "$sshd" -T -C "user=$user,host=203.0.113.1,addr=203.0.113.1"; then
        case $error in
            *sshd_config*': No such file or directory' | *'Privilege separation user'* | *' set without '* | *'recursive configuration includes'*) sshd_broken=$error ;;
            *'no hostkeys'* | *'privilege separation'*) ;;
            */ssh*' line '*) sshd_broken=$error ;; # it does not start because of its files
        esac
        return 0
    fi
    awk "$SSHD_WORDS$SSHD_ANSWER" "$work/sshd" answer=1 "$work/output" >"$work/sshd.answer"
    cat "$work/sshd.answer" >"$work/sshd"
    sshd_flags
}

# sshd_says KEYWORD: sets value to what sshd takes, values with tabs between; word to the first, in lower case.
sshd_says() {
    while IFS= read -r value; do
        case $value in
            "$1$TAB"*)
                value=${value#*"$TAB"}
                lower "${value%%"$TAB"*}"
                word=$lowered
                return 0
                ;;
        esac
    done <"$work/sshd"
    value='' word=''
}

# includes_drop_ins FILE: it takes in sshd_config.d before its first Match block.
includes_drop_ins() {
    while read -r text || [ -n "$text" ]; do
        case $text in
            [Mm][Aa][Tt][Cc][Hh] | [Mm][Aa][Tt][Cc][Hh][\ =\"$TAB$CR]* | \"[Mm][Aa][Tt][Cc][Hh]\"*) return 1 ;;
            [Ii][Nn][Cc][Ll][Uu][Dd][Ee][\ =\"$TAB]* | \"[Ii][Nn][Cc][Ll][Uu][Dd][Ee]\"*) ;;
            *) continue ;;
        esac
        IFS=" $TAB=\"'$CR"
        # shellcheck disable=SC2086 # words
        set -- ${text#*[Ee][\ =\"$TAB]}
        IFS=" $TAB$NEWLINE"
        for pattern in "$@"; do
            case ${pattern#/etc/ssh/} in
                '#'*) break ;;
                'sshd_config.d/*.conf' | 'sshd_config.d/*') return 0 ;;
            esac
        done
    done <"$root$1"
    return 1
}

step_keys() {
    if [ -z "$user" ]; then
        did='no user name: skipped'
        return
    fi
    if [ "$key_count" = 0 ]; then
        did='none given'
        return
    fi
    account "$user" || home=''
    case $home$dry_run in
        /* | yes) ;;
        *) step_failed "there is no account $user with a home" ;;
    esac
    if [ -z "$uid" ]; then
        did="would write $key_count key(s) once $user exists"
        return
    fi
    sshd_for_user
    bring_keys
    did="$keys_path has $key_count key(s), $added added"
}

# sshd's configuration for this user: by its own answer, where its files hold more than the usual.
sshd_for_user() {
    read_sshd "$user"
    ask_sshd
}

# The keys, where sshd looks for them. Sets keys_path and added.
bring_keys() {
    account "$user" || return 0
    keys_path
    added=0
    add_keys
    if [ "$added" != 0 ] && [ -z "$root" ] && [ -e /sys/fs/selinux/enforce ] && have restorecon; then
        run restorecon -F -R "${keys_path%/*}"
    fi
}

# Where sshd looks: the first AuthorizedKeysFile with %h, %u, %U and %% filled in, else its default. Sets keys_path.
keys_path() {
    sshd_says authorizedkeysfile
    pattern=${value%%"$TAB"*} keys_path=''
    case $word in
        '' | none) pattern=.ssh/authorized_keys ;;
    esac
    while :; do
        case $pattern in
            *%*) keys_path=$keys_path${pattern%%\%*} pattern=${pattern#*%} ;;
            *) break ;;
        esac
        case $pattern in
            h*) keys_path=$keys_path$home ;;
            u*) keys_path=$keys_path$user ;;
            U*) keys_path=$keys_path$uid ;;
            %*) keys_path=$keys_path% ;;
            ?*) keys_path=$keys_path%${pattern%"${pattern#?}"} ;;
            *) keys_path=$keys_path% ;;
        esac
        pattern=${pattern#?}
    done
    keys_path=$keys_path$pattern
    case $keys_path in
        /*) ;;
        *) keys_path=${home%/}/$keys_path ;;
    esac
}

# Adds to the file at keys_path what is missing there. No symbolic link below the home is followed. Sets added.
add_keys() {
    base=${home%/} below=yes
    case $keys_path in
        "$base"/*)
            rest=${keys_path#"$base"/}
            [ -z "$home_was" ] && [ "$homes_open" = yes ] || open_home
            ;;
        *)
            base=${keys_path%/*} rest=${keys_path##*/} below=''
            open_to_sshd "$base"
            ;;
    esac
    case /$rest/ in
        */../* | *//) step_failed "AuthorizedKeysFile is $keys_path" ;;
    esac
    inner=$root$base
    while :; do
        case $rest in
            */*) part=${rest%%/*} rest=${rest#*/} ;;
            *) break ;;
        esac
        [ -n "$part" ] && [ "$part" != . ] || continue
        inner=$inner/$part
        [ ! -h "$inner" ] && { [ ! -e "$inner" ] || [ -d "$inner" ]; } ||
            step_failed "$part is a symbolic link or no folder"
        own_folder "$inner"
    done
    [ ! -h "$inner/$rest" ] || step_failed "$rest is a symbolic link"
    [ ! -e "$inner/$rest" ] || [ -f "$inner/$rest" ] || step_failed "$rest is no regular file"
    merge_keys "$inner/$rest"
}

# A home into which its owner cannot go (HOME_MODE 0, a umask of 777) has keys that sshd, which reads as the user, does
# not find; one into which others can write (HOME_MODE 0777) has keys that it refuses.
open_home() {
    [ -z "$dry_run" ] && [ -d "$root$home" ] || return 0
    mode=$(stat -L -c %a "$root$home")
    case 00$mode in
        *[1357]??) ;;
        *)
            chmod u+rwx "$root$home"
            warn "$home was closed to $user: it has mode $(stat -L -c %a "$root$home") from now on"
            ;;
    esac
    close_home "$mode"
}

# A folder of keys outside of the homes: made where missing; one that is there keeps its mode, but sshd, which reads as
# the user, must get through it.
open_to_sshd() {
    if [ ! -d "$root$1" ]; then
        folder "$1" 0755
        return
    fi
    mode=$(stat -L -c %a "$root$1")
    case $mode in
        *[02468]) [ -n "$dry_run" ] || chmod a+x "$root$1" ;;
    esac
    case $mode in
        *[2367]? | *[2367]) warn "others can write into $1: sshd refuses keys there" ;;
    esac
}

own_folder() {
    [ -z "$dry_run" ] || return 0
    if [ ! -d "$1" ]; then
        umask 077
        mkdir "$1" || step_failed "${1#"$root"} cannot be made"
        umask 022
        touched "${1%/*}"
        # one that is the last gets its owner with the file in it: one program less
        [ -z "$unowned" ] || chown "$uid:$gid" "$unowned"
        [ "$me" != 0 ] || unowned=$1
        return
    fi
    owner_mode=$(stat -c '%u:%g %a' "$1")
    [ "$me" != 0 ] || [ "${owner_mode% *}" = "$uid:$gid" ] || chown "$uid:$gid" "$1"
    [ "${owner_mode#* }" = 700 ] || chmod 0700 "$1"
}

# What is there stays, and a key that is there in any form is not repeated.
merge_keys() {
    if [ -s "$1" ]; then
        lacking_keys "$1"
    else
        added=$key_count new_keys=$work/keys
    fi
    [ "$added" != 0 ] || [ ! -e "$1" ] || return 0
    if [ -n "$dry_run" ]; then
        say "would write $keys_path"
        return
    fi
    owner_of_keys "$1"
    if [ -s "$1" ]; then
        {
            cat "$1"
            [ -z "$(tail -c 1 "$1")" ] || line
            cat "$new_keys"
        } >"$work/all-keys"
        new_keys=$work/all-keys
    fi
    store "$1" "$mode" "$owner" <"$new_keys" || step_failed "$keys_path cannot be written"
}

# lacking_keys FILE: sets new_keys, a file of those that are not in FILE in any form, and added, how many they are.
lacking_keys() {
    new_keys=$work/new-keys
    awk -v existing="$1" '
        BEGIN {
            while ((getline text <existing) > 0) {
                gsub(/\r/, " ", text)
                n = split(text, word)
                for (i = 1; i < n; i++) present[word[i], word[i + 1]] = 1
            }
        }
        {
            for (i = 1; i < NF; i++) if ($i ~ /^(ssh|ecdsa|sk)-/ && $(i + 1) ~ /^AAAA/) break
            if (!(($i, $(i + 1)) in present)) print
        }' "$work/keys" >"$work/new-keys"
    added=$(($(wc -l <"$work/new-keys")))
}

# Sets owner and mode for the file of keys.
owner_of_keys() {
    owner=$uid:$gid mode=0600
    if [ -z "$below" ] && [ -e "$1" ]; then
        mode=0$(stat -c %a "$1") holder=$(stat -c %u:%g "$1")
        # sshd reads it as the user
        [ "${holder%:*}" = "$uid" ] || readable_by_all
        owner=$holder
    elif [ -z "$below" ]; then
        case ${1##*/} in
            *"$user"*) ;;
            *) owner=0:0 mode=0644 ;; # one file for everybody
        esac
    fi
    [ "$me" = 0 ] || owner=''
}

readable_by_all() {
    case $mode in
        *[0-3]?) mode=${mode%??}$((${mode#"${mode%??}"} / 10 + 4))${mode#"${mode%?}"} ;;
    esac
    case $mode in
        *[0-3]) mode=${mode%?}$((${mode#"${mode%?}"} + 4)) ;;
    esac
}

step_password() {
    if [ -z "$user" ]; then
        did='no user name: skipped'
        return
    fi
    if [ "${ovf_password-}" = yes ]; then
        set_password
        did="set for $user"
        return
    fi
    [ "$password_login" != yes ] || warn "passwords are allowed, but none came on a medium: $user has none"
    entry "$user" shadow || {
        did="$user has no entry in /etc/shadow"
        return
    }
    stop_ageing
    field=${entry#*:}
    field=${field%%:*}
    # sshd without PAM refuses keys, too, for an account that is locked with "!"
    without_pam=''
    [ -n "${sshd_main+known}" ] || read_sshd
    if [ -n "$sshd_main" ]; then
        sshd_says usepam
        [ "$word" = yes ] || without_pam=yes
    fi
    case $field,$without_pam in
        \** | !*,)
            did="$user is locked for passwords"
            return
            ;;
    esac
    if fixed /etc; then
        warn "/etc is read-only: the password of $user stays as the image has it"
        did='left as it is'
        return
    fi
    if ! have usermod; then
        # busybox: "*" serves with PAM and without
        line "$user:*" >"$work/input"
        run chpasswd ${root:+--root "$root"} -e
        : >"$work/input"
    elif [ -n "$without_pam" ]; then
        run usermod ${root:+--prefix "$root"} -p '*' "$user"
    else
        run usermod ${root:+--prefix "$root"} -L "$user"
    fi
    did="locked for $user"
}

# Nobody has a password for this account: none can get too old, and PASS_MAX_DAYS locks nobody out. entry is its line.
stop_ageing() {
    fixed /etc && return
    IFS=:
    # shellcheck disable=SC2086 # fields
    set -- $entry::::::
    IFS=" $TAB$NEWLINE"
    most=$5
    case $most in
        '' | *[!0-9]* | ?????*) most='' ;;
    esac
    [ "$3" = 0 ] || [ -n "$most$7" ] || return 0
    epoch
    awk -F: -v OFS=: -v name="$user" -v today=$((unix_time / 86400)) '
        $1 == name && NF > 6 {
            if ($3 == "0") $3 = today
            if ($5 ~ /^[0-9]+$/ && $5 < 10000) $5 = ""
            $7 = ""
        }
        { print }' "$root/etc/shadow" >"$work/text"
    rewrite /etc/shadow
    say "password: $user has none, and none gets too old"
}

# chpasswd hashes as the image's policy says; where that does not work, we do. Only through pipes and files of mode
# 0600 in memory; what chpasswd says is not shown, as it might repeat the line.
set_password() {
    [ -z "$dry_run" ] || {
        say "would run chpasswd"
        return
    }
    umask 077
    { line "$user" | tr '\n' ':'; cat "$work/password"; } >"$work/input"
    # busybox has no policy, and hashes with DES or MD5 unless it is told otherwise
    set --
    have useradd || set -- -c sha512
    if try chpasswd ${root:+--root "$root"} "$@"; then
        :
    else
        warn "chpasswd: exit $ended; trying with a hash of ours"
        : >"$work/hash"
        if have openssl; then
            openssl passwd -6 -stdin <"$work/password" >"$work/hash" 2>/dev/null
        fi
        if [ ! -s "$work/hash" ] && have mkpasswd; then
            mkpasswd -m sha512crypt -P 0 <"$work/password" >"$work/hash" 2>/dev/null ||
                mkpasswd -m sha512 -P 0 <"$work/password" >"$work/hash" 2>/dev/null
        fi
        [ -s "$work/hash" ] || step_failed "chpasswd: exit $ended, and nothing else here makes a hash"
        { line "$user" | tr '\n' ':'; cat "$work/hash"; } >"$work/input"
        try chpasswd ${root:+--root "$root"} -e || step_failed "chpasswd -e: exit $ended"
    fi
    : >"$work/input"
    umask 022
}

SSHD_DROP_IN=/etc/ssh/sshd_config.d/00-azure-provisioning.conf

step_sshd() {
    [ -n "${sshd_main+known}" ] && [ "$sshd_plain" = yes ] || read_sshd "$user"
    if [ -z "$sshd_main" ]; then
        did='no sshd: skipped'
        return
    fi
    has host-keys "$skip $skip_setting" || make_named_host_keys
    wanted=${password_login:-no} asks_else=''
    sshd_says authenticationmethods
    lower "$value"
    case $wanted$lowered in
        no*keyboard-interactive*)
            asks_else=yes
            warn 'sshd asks for keyboard-interactive by AuthenticationMethods: that stays on'
            ;;
    esac
    if [ -d "$root$sshd_main" ]; then
        warn "$sshd_main is a folder: sshd reads nothing of it, and passwords stay as it has them by itself"
        did='left as it is'
        return
    fi
    [ "$sshd_plain" = yes ] || read_sshd # the policy is for everybody, whatever a Match block says
    if says_policy; then
        did="PasswordAuthentication is $wanted already"
        return
    fi
    if fixed /etc/ssh; then
        warn "$sshd_main: read-only, and passwords stay as the image has them"
        did='left as it is'
        return
    fi
    write_policy
    [ -n "$dry_run" ] || reload_sshd
    did="PasswordAuthentication $wanted in $sshd_file"
}

# Host keys of which sshd_config says that they lie elsewhere: `ssh-keygen -A` makes none of these.
make_named_host_keys() {
    sshd_says hostkey
    [ -n "$value" ] || return 0
    IFS=$TAB
    # shellcheck disable=SC2086 # one path a word
    set -- $value
    IFS=" $TAB$NEWLINE"
    for path in "$@"; do
        kind=''
        case ${path##*/} in
            *rsa*) kind=rsa ;;
            *ecdsa*) kind=ecdsa ;;
            *ed25519*) kind=ed25519 ;;
        esac
        case $path in
            "/etc/ssh/ssh_host_${kind}_key") continue ;;
            /*/*) ;;
            *) continue ;;
        esac
        [ -n "$kind" ] && [ ! -e "$root$path" ] && have ssh-keygen || continue
        [ -e "$root${path%/*}" ] || folder "${path%/*}" 0755
        run ssh-keygen -q -N '' -t "$kind" -f "$root$path"
        say "sshd: made $path, a host key that sshd_config names"
        [ -n "$dry_run" ] || touched "$root$path.pub"
        [ -n "$dry_run" ] || touched "$root$path"
        touched "$root${path%/*}"
    done
}

# sshd does what the owner said of passwords: with UsePAM, keyboard-interactive asks for one, too.
says_policy() {
    sshd_says passwordauthentication
    [ "$word" = "$wanted" ] || return 1
    [ "$wanted$asks_else" = no ] || return 0
    sshd_says kbdinteractiveauthentication
    [ "${word:-yes}" = no ]
}

# Where sshd takes it: a drop-in where the main file includes them, and the head of the main file where it does not, or
# where something else comes before. Sets sshd_file. OpenSSH before 8.7 knows keyboard-interactive by the last name.
write_policy() {
    policy="PasswordAuthentication $wanted"
    [ -n "$asks_else" ] || policy="$policy${NEWLINE}KbdInteractiveAuthentication $wanted${NEWLINE}ChallengeResponseAuthentication $wanted"
    sshd_file=''
    folder=$root/etc/ssh/sshd_config.d no_folder=''
    { [ ! -e "$folder" ] && [ ! -h "$folder" ]; } || [ -d "$folder" ] || no_folder=yes
    if [ -z "$no_folder" ] && includes_drop_ins "$sshd_main"; then
        sshd_file=$SSHD_DROP_IN
        [ -d "$root/etc/ssh/sshd_config.d" ] || folder /etc/ssh/sshd_config.d 0755
        line "# Written by azure-provisioning: the password policy that the platform states for this VM.
# sshd takes the first value that it reads, so this file sorts first.
$policy" >"$work/policy"
        drop_in_mode
        write_sshd_checked
        [ -z "$dry_run" ] || return 0
        read_sshd
        ! says_policy || return 0
    fi
    if [ "$sshd_main" = /etc/ssh/sshd_config ]; then
        sshd_file=$sshd_main new_mode=0644
        { marked "$policy"; unmarked "$root$sshd_file"; } >"$work/policy"
        write_sshd_checked
        [ -z "$dry_run" ] || return 0
        read_sshd
        ! says_policy || return 0
    fi
    sshd_file=${sshd_file:-$sshd_main}
    warn "$sshd_main says otherwise before ours: passwords stay as the image has them"
}

# As strict as the other files of its folder, where they all are. Sets new_mode.
drop_in_mode() {
    new_mode=0644
    set +f
    set -- "$root"/etc/ssh/sshd_config.d/*
    set -f
    [ -e "$1" ] || return 0
    case " $(stat -L -c %a "$@" | tr '\n' ' ')" in
        *' '[0-57-9]* | *' 6'[!0]* | *' 60'[!0]*) ;;
        *) new_mode=0600 ;;
    esac
}

# Undone when sshd refuses it, unless sshd refused what was there before as well. A file that is there keeps its mode and
# its owner.
write_sshd_checked() {
    rm -f "$work/before"
    [ ! -f "$root$sshd_file" ] || cat "$root$sshd_file" >"$work/before"
    put_sshd "$work/policy"
    sshd_accepts && return 0
    complaint=$error
    if [ -f "$work/before" ]; then
        put_sshd "$work/before"
    else
        rm -f "$root$sshd_file"
    fi
    ! sshd_accepts || step_failed "$complaint"
    warn "$complaint (it said so before as well)"
    put_sshd "$work/policy"
}

put_sshd() {
    if [ -f "$root$sshd_file" ]; then
        cat "$1" >"$work/text"
        rewrite "$sshd_file"
    else
        put "$sshd_file" "$new_mode" <"$1"
    fi
}

# sshd checks nothing without its folder in /run, which its service may make only later, nor without host keys.
sshd_accepts() {
    sshd=$(command -v sshd) && [ -z "$dry_run" ] || return 0
    [ -n "$root" ] || {
        folder /run/sshd 0755
        await_host_keys
    }
    try "$sshd" -t ${root:+-f "$root$sshd_main"}
}

reload_sshd() {
    [ -z "$root" ] || return 0
    sshd_says pidfile
    for file in "${value%%"$TAB"*}" /run/sshd.pid; do
        case $file in
            /*) one_line "$file" ;;
            *) continue ;;
        esac
        ! number "$value" 2 999999999 || ! is_listener "$number" || {
            kill -HUP "$number" && say 'sshd: reloaded'
            return
        }
    done
    set +f
    set -- /proc/[0-9]*
    set -f
    for pid in "$@"; do
        ! is_listener "${pid#/proc/}" || {
            kill -HUP "${pid#/proc/}" && say 'sshd: reloaded'
            return
        }
    done
}

# is_listener PID: the sshd that waits for connections: not one that serves a session, nor one of inetd's.
is_listener() {
    one_line "/proc/$1/comm"
    [ "$value" = sshd ] || return 1
    read -r parent 2>/dev/null <"/proc/$1/stat" || return 1
    parent=${parent##*) ? }
    one_line "/proc/${parent%% *}/comm"
    [ "$value" != sshd ] || return 1
    words=$(tr '\000' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
    case $words in
        'sshd: '*'[listener]'*) return 0 ;;
        '' | 'sshd: '* | *' -i'*) return 1 ;; # one that has ended shows none
    esac
}

step_host_keys() {
    if [ ! -d "$root/etc/ssh" ] || { ! tree_has sshd && ! have ssh-keygen; }; then
        did='no sshd: skipped'
        return
    fi
    find_missing_host_keys
    mend_public_halves
    if [ -z "$missing" ]; then
        did="all there${mended:+, public halves made:$mended}"
    elif [ -z "$damaged" ] && own_unit_makes_keys; then
        did="left to $HOST_KEYS_UNIT"
    elif ! have ssh-keygen; then
        warn "no ssh-keygen: host keys are missing ($missing)"
        did=skipped
    else
        # ssh-keygen would leave them
        for kind in $damaged; do [ -n "$dry_run" ] || rm -f "$root/etc/ssh/ssh_host_${kind}_key"; done
        # what a power cut left of an earlier ssh-keygen
        set +f
        set -- "$root"/etc/ssh/ssh_host_*_key.?????????? "$root"/etc/ssh/ssh_host_*_key.pub.??????????
        set -f
        for left in "$@"; do [ -n "$dry_run" ] || [ ! -f "$left" ] || rm -f "$left"; done
        run ssh-keygen -A ${root:+-f "$root"}
        sync_host_keys
        did="made: $missing"
    fi
}

# Public halves that are empty: of two files that ssh-keygen made, a power cut may leave one.
mend_public_halves() {
    mended=''
    for kind in rsa ecdsa ed25519; do
        half=$root/etc/ssh/ssh_host_${kind}_key.pub
        [ -e "$half" ] && [ ! -s "$half" ] && have ssh-keygen || continue
        ! has "$kind" "$(line "$missing" | tr -d ,)" || continue
        ssh-keygen -y -f "${half%.pub}" </dev/null >"$work/half" 2>/dev/null || continue
        put "/etc/ssh/ssh_host_${kind}_key.pub" 0644 <"$work/half"
        mended="$mended $kind"
    done
}

HOST_KEYS_UNIT=azure-provisioning-hostkeys.service
own_unit_makes_keys() {
    [ -e "$root/run/systemd/system" ] && [ -e "$root/etc/systemd/system/multi-user.target.wants/$HOST_KEYS_UNIT" ]
}

# Sets missing: the kinds of host key that sshd cannot use: not there, not whole (a power cut leaves empty ones), with a
# passphrase; and damaged, those of them that have something in them.
find_missing_host_keys() {
    missing='' damaged=''
    [ "$whole_keys" != 'rsa ecdsa ed25519' ] || return 0
    for kind in rsa ecdsa ed25519; do
        whole=''
        if [ -s "$root/etc/ssh/ssh_host_${kind}_key" ]; then
            begun='' unfit=''
            while read -r text || [ -n "$text" ]; do
                case $begun$text in
                    *ENCRYPTED* | *"$CR") begun=yes unfit=yes ;;
                    -----BEGIN\ *) begun=yes ;;
                    yes-----END\ *) [ -n "$unfit" ] || whole=yes ;;
                    yesb3BlbnNzaC1rZXktdjEAAAAABG5vbmU*) ;; # it wants no passphrase
                    yesb3BlbnNzaC1rZXktdjEA*) unfit=yes ;;
                    yes*) ;;
                    *) break ;;
                esac
            done <"$root/etc/ssh/ssh_host_${kind}_key"
        fi
        [ -z "$whole" ] || continue
        missing="$missing${missing:+, }$kind"
        [ ! -s "$root/etc/ssh/ssh_host_${kind}_key" ] || damaged="$damaged $kind"
    done
}

# A unit of ours makes them beside this: a minute at most, since an RSA key takes a second of a core.
await_host_keys() {
    own_unit_makes_keys || return 0
    clock
    limit=$((now + 6000))
    find_missing_host_keys
    while [ -n "$missing" ] && [ "$now" -lt $limit ]; do
        nap 5
        clock
        find_missing_host_keys
    done
}

# Ready promises them, and ssh-keygen syncs nothing: they go to the disk with everything else that was touched, public
# halves before private ones: a kind whose private half is there is not made again.
sync_host_keys() {
    [ -z "$dry_run" ] || return 0
    for half in _key.pub _key; do
        for kind in rsa ecdsa ed25519; do
            [ ! -e "$root/etc/ssh/ssh_host_$kind$half" ] || touched "$root/etc/ssh/ssh_host_$kind$half"
        done
    done
    touched "$root/etc/ssh"
}

# keep NAME MODE FILE: into the state folder, where that can be written.
keep() {
    if fixed $STATE || [ ! -d "$state" ]; then
        [ -n "$dry_run" ] || {
            warn "$STATE/$1 cannot be kept"
            return 1
        }
    fi
    put "$STATE/$1" "$2" <"$3"
}

step_custom_data() {
    if [ "$custom_data" = ignore ]; then
        did='ignored (CUSTOM_DATA=ignore)'
        return
    fi
    did='' mode=0600 runs=''
    if [ "$custom_data" = run ] && [ -s "$work/custom-data.decoded" ]; then
        case $(head -c 2 "$work/custom-data.decoded" | tr '\000' ' ') in
            '#!') mode=0700 runs=yes ;;
        esac
    fi
    for name in custom-data user-data; do
        if [ -s "$work/$name.decoded" ]; then
            keep "$name" $mode "$work/$name.decoded" &&
                did="$did${did:+; }$name, $(($(wc -c <"$work/$name.decoded"))) bytes"
            case $(head -c 24 "$work/$name.decoded" | tr '\000' ' ') in
                '#cloud-config'* | 'Content-Type: multipart/'*)
                    tree_has cloud-init ||
                        warn "$name is for cloud-init, which this image does not have: nobody follows it"
                    ;;
            esac
        fi
        mode=0600
    done
    if [ -n "$runs$dry_run" ] && [ -n "$runs" ] && [ -n "$dry_run" ]; then
        say "would run $STATE/custom-data"
    elif [ -n "$runs" ]; then
        run_shown "$STATE/custom-data" 'custom data'
        did="$did; run"
    fi
    did=${did:-none given}
}

# The hypervisor puts random bytes behind the 36 bytes of an ACPI table's header. Without a system call of our own they
# can be mixed into the kernel's pool, but not credited.
step_entropy() {
    table=$root/sys/firmware/acpi/tables/OEM0
    size=0
    [ ! -r "$table" ] || size=$(($(wc -c <"$table") - 36))
    if [ "$entropy" = no ]; then
        did='off (ENTROPY=no)'
    elif [ $size -le 0 ]; then
        did='the hypervisor gives none'
    elif [ -n "$dry_run$root" ]; then
        did="would mix in $size bytes"
    else
        tail -c +37 "$table" >/dev/urandom && did="mixed in $size bytes, not credited" || did='the kernel takes none'
    fi
}

step_grow() {
    if [ "$grow" = no ]; then
        did='off (GROW=no)'
        return
    fi
    if [ -n "$root" ]; then
        did='needs a running machine: skipped'
        return
    fi
    root_device
    if [ -z "$device" ]; then
        did='the root file system is on no partition: skipped'
        return
    fi
    filled=disk
    find_below "$device"
    if [ -n "$below" ]; then
        filled='volume group'
        grow_volume || {
            warn "the root file system is on $layer: grow it yourself"
            did=skipped
            return
        }
    else
        grow_below "$device" || filled=partition
    fi
    case $kind in
        ext[234]) set -- resize2fs "/dev/$device" ;;
        xfs) set -- xfs_growfs / ;;
        btrfs) set -- btrfs filesystem resize max / ;;
        *)
            did="$kind cannot be grown"
            return
            ;;
    esac
    if ! have "$1"; then
        warn "the root file system keeps its size: this image has no $1"
        did=skipped
        return
    fi
    run "$@"
    did="/dev/$device ($kind) fills its $filled"
}

# find_below DEVICE: sets below to the devices that it is made of.
find_below() {
    below=''
    set +f
    set -- "/sys/class/block/$1/slaves"/*
    set -f
    for lower_device in "$@"; do
        [ ! -e "$lower_device" ] && [ ! -h "$lower_device" ] || below="$below${below:+ }${lower_device##*/}"
    done
}

# grow_below DEVICE: the partition that it is; a whole disk has its size already.
grow_below() {
    one_line "/sys/class/block/$1/partition"
    [ -n "$value" ] || return 0
    disk=$(readlink "/sys/class/block/$1")
    disk=${disk%/*}
    grow_partition "/dev/${disk##*/}" "$value"
}

# The logical volume that device is: one physical volume, and LVM's own tools. Sets layer.
grow_volume() {
    one_line "/sys/class/block/$device/dm/uuid"
    case $value,$device in
        LVM-*) layer=LVM ;;
        CRYPT-*) layer=dm-crypt ;;
        *,md*) layer=md ;;
        *) layer='device mapper' ;;
    esac
    one_line "/sys/class/block/$device/dm/name"
    mapped=${value:+/dev/mapper/$value}
    case $layer,$below in
        LVM,*\ *) return 1 ;;
        LVM,*) ;;
        *) return 1 ;;
    esac
    volume=$below
    find_below "$volume"
    { [ -z "$below" ] || [ -e "/sys/class/block/$volume/partition" ]; } && have pvresize && have lvextend &&
        grow_below "$volume" || return 1
    run pvresize "/dev/$volume"
    try lvextend -l +100%FREE "${mapped:-$volume_source}" || grep -q 'matches existing size' "$work/output" ||
        step_failed "$error"
}

# Sets device (its name) and kind (of file system) of /, from mountinfo; device is empty when it is no block device.
root_device() {
    device='' kind=''
    while read -r _ _ numbers _ point rest; do
        [ "$point" = / ] || continue
        rest=${rest#*- }
        kind=${rest%% *} rest=${rest#* }
        volume_source=${rest%% *}
        # btrfs has a device number of its own: there, the source
        device=$(readlink "/sys/dev/block/$numbers") || device=${rest%% *}
        device=${device##*/}
        [ -e "/sys/class/block/$device" ] && return
        device=''
    done </proc/self/mountinfo
}

# Moves the end of a partition to the end of its disk, and tells the kernel; false where the image has no tools for that.
grow_partition() {
    plain=''
    ! have sfdisk || ! have partx || plain=yes
    if have growpart && { have sfdisk || have sgdisk; }; then
        try growpart "$1" "$2" && return
        ! grep -q ^NOCHANGE "$work/output" || return 0
        [ -n "$plain" ] || step_failed "$error"
        warn "$error" # it does not work without flock, for one
    fi
    if [ -n "$plain" ]; then
        line ', +' >"$work/input"
        run sfdisk --no-reread --no-tell-kernel -N "$2" "$1"
        : >"$work/input"
        run partx --update --nr "$2" "$1"
    else
        warn 'the root partition keeps its size: this image has no sfdisk, with growpart or partx'
        return 1
    fi
}

step_hooks() {
    did=''
    set +f
    set -- "$root$HOOKS"/*
    set -f
    for hook in "$@"; do
        name=${hook##*/}
        case $name in
            *'~') continue ;;
        esac
        [ -f "$hook" ] && [ -x "$hook" ] || continue
        if [ -n "$dry_run" ]; then
            say "would run $HOOKS/$name"
        else
            say "hooks: running $name"
            run_shown "$HOOKS/$name" "hook $name"
        fi
        did="$did${did:+, }$name"
    done
    did=${did:-none}
}

# run_shown PATH WHAT: one of the image's or the owner's programs, its output in our log, facts in its environment.
run_shown() {
    account "${user:-//}" || home=''
    forget
    limited "$hook_timeout" env -i PATH="$PATH" AZURE_VM_ID="$vm_id" AZURE_VM_NAME="${imds_name-}" \
        AZURE_HOSTNAME="$host" AZURE_LOCATION="${imds_location-}" AZURE_ADMIN_USER="$user" AZURE_ADMIN_HOME="$home" \
        AZURE_CUSTOM_DATA="$(state_path custom-data)" AZURE_USER_DATA="$(state_path user-data)" \
        AZURE_ROOT="${root:-/}" "$root$1" </dev/null 1>&2 9>&- && return 0
    [ -z "$timed_out" ] || fail "$2 timed out" "limit=$hook_timeout s"
    fail "$2 failed" "exit=$ended"
}

state_path() {
    [ ! -e "$root$STATE/$1" ] || line "$root$STATE/$1"
}

step_ovf_copy() {
    if [ -z "$medium" ]; then
        did='no medium'
        return
    fi
    if ! awk "$REDACT" "$work/ovf-env.xml" >"$work/redacted"; then
        did='not kept'
    elif [ -s "$work/password" ] && grep -Fqf "$work/password" "$work/redacted"; then
        did='not kept: a secret is in an unexpected place'
    else
        did='not kept'
        ! keep ovf-env.xml 0600 "$work/redacted" || did='kept without secrets'
    fi
    case $medium in
        /dev/sr*) [ -n "$dry_run" ] || eject_medium ;;
    esac
}

eject_medium() {
    if ! have eject; then
        did="$did; $medium not ejected (there is no eject)"
    elif try eject "$medium"; then
        did="$did; $medium ejected"
    else
        did="$did; $medium not ejected ($error)"
    fi
}

# Why sshd lets the owner in by no method, or by neither key nor password, from what it says; one line each: shut, keys,
# passwords, methods, and what holds for the owner besides.
SSHD_JUDGE='
function says(name,   v) { v = said[name]; sub(/\t.*/, "", v); return tolower(v) }
function part_of_user(s) { gsub(/@[^\t]*/, "", s); return s }
function without_hosts(s,   n, p, i, out) {
    n = split(s, p, "\t")
    for (i = 1; i <= n; i++) if (!index(p[i], "@")) out = out (out == "" ? "" : "\t") p[i]
    return out
}
# patterns with a host by which sshd lets the user in, or keeps them out
function by_address(word, name,   n, p, i) {
    n = split(said[word], p, "\t")
    for (i = 1; i <= n; i++)
        if (index(p[i], "@") && fits(user, part_of_user(p[i])) && !listed(user, without_hosts(said[word]), "\t"))
            print "bound sshd\047s " name " " p[i] " may keep " user " out, by where the connection comes from"
}
# says so where all that sshd offers is older than what clients of OpenSSH 9 ask for by themselves
function old(word, name, modern,   offered) {
    offered = says(word)
    if (offered == "" || offered ~ /^[-+^]/ || ("," offered) ~ (",(" modern ")")) return
    print "bound sshd offers nothing that clients of today take: " name " " offered
}
# what clients of today do not take of sshd, where it depends on more than one setting
function old_by_parts(   ciphers, macs, accepted, key, others) {
    ciphers = says("ciphers")
    macs = says("macs")
    if (macs ~ /^[^-+^]/ && ciphers != "" && ("," ciphers) !~ /,(chacha20-poly1305|aes128-gcm|aes256-gcm)/)
        if (("," macs ",") !~ /,(umac-|hmac-sha2-|hmac-sha1,|hmac-sha1-etm)/) print "bound sshd offers nothing that clients of today take: MACs " macs
    accepted = says("pubkeyacceptedalgorithms")
    if (!has_key || accepted !~ /^[^-+^]/ || listed("rsa-sha2-512 rsa-sha2-256", accepted, ",")) return
    close(keys)
    while ((getline key <keys) > 0) if ((" " key) !~ / ssh-rsa +AAAA/) others = 1
    if (!others) print "bound sshd takes RSA keys by SHA-1 alone, which clients of today do not use: PubkeyAcceptedAlgorithms"
}
# what sshd cannot expand of the place where our keys are: what comes later is not asked for
function unknown_token(   place, rest, i) {
    place = said["authorizedkeysfile"]
    sub(/\t.*/, "", place)
    rest = place
    gsub(/%%/, "", rest)
    while ((i = index(rest, "%"))) {
        rest = substr(rest, i + 1)
        if (rest !~ /^[huU]/) return "sshd does not know %" substr(rest, 1, 1) " (AuthorizedKeysFile " place ")"
    }
    return ""
}
function number_of_keys(   s, n) {
    close(keys)
    while ((getline s <keys) > 0) n++
    return n + 0
}
function able(method) {
    sub(/:.*/, "", method)
    method = tolower(method)
    return method == "publickey" ? has_key : method == "password" || method == "keyboard-interactive" ? has_password : 0
}
# what else may let a key in, where sshd reads no file of keys: a program of the image, or an authority
function elsewhere(   n, i, other, words) {
    if (says("authorizedkeysfile") != "none") return ""
    n = split("authorizedkeyscommand AuthorizedKeysCommand trustedusercakeys TrustedUserCAKeys", other, " ")
    for (i = 1; i < n; i += 2) if (said[other[i]] != "" && says(other[i]) != "none") {
        words = said[other[i]]
        gsub(/\t/, " ", words)
        return "sshd reads no file of keys: whether it takes a key is left to " other[i + 1] " " words
    }
    return ""
}
# why sshd takes none of the keys, by their types, their sizes, or the list of those that count no more
function no_key_fits(   n, i, key, word, kind, body, names, taken, accepted, least, bits, size, revoked, state, all, text, long, counts, krl, junk) {
    accepted = says("pubkeyacceptedalgorithms") ~ /^[^-+^]/
    least = says("requiredrsasize") ~ /^[0-9]+$/ ? says("requiredrsasize") + 0 : 0
    revoked = root != "" || says("revokedkeys") == "none" ? "" : said["revokedkeys"]
    gsub(/\t/, " ", revoked)
    if (!accepted && !least && revoked == "") return ""
    if (revoked != "" && revoked_folder == "") while ((state = (getline text <revoked)) > 0) {
        if (all == "" && text ~ /^SSHKRL/) krl = 1
        if (!krl && text ~ /^[ \t]*[^# \t\r]+[ \t\r]*$/) junk = 1
        all = all "\n" text
    }
    while ((getline key <keys) > 0) {
        n = split(key, word, " ")
        for (i = 1; i < n; i++) if (word[i] ~ /^(ssh|ecdsa|sk)-/ && word[i + 1] ~ /^AAAA/) break
        body = word[i + 1]
        if (kind == "") kind = word[i]
        names = word[i] == "ssh-rsa" ? "rsa-sha2-512 rsa-sha2-256 ssh-rsa" : word[i]
        if (listed(names, substr(said["pubkeyacceptedalgorithms"], 1), ",")) taken = 1
        # beside the modulus: lengths, the name of the type, a zero, and an exponent of 1 octet (PuTTY) to 3
        sub(/=+$/, "", body)
        bits = word[i] == "ssh-rsa" ? int((int(length(body) * 3 / 4) - 20) / 32) * 256 : 0
        if (size == "") size = bits
        if (bits <= 0 || bits >= least) long = 1
        if (!index(all, word[i + 1])) counts = 1
    }
    if (kind == "") return ""
    if (accepted && !taken) return "sshd takes no key of type " kind " (PubkeyAcceptedAlgorithms)"
    if (!long) return "sshd takes no RSA key of " size " bits (RequiredRSASize " least ")"
    if (state < 0) return "sshd takes no keys: RevokedKeys " revoked " is not there"
    if (junk || revoked_folder != "") return "sshd takes no keys: RevokedKeys " revoked " is no list of keys"
    return counts ? "" : "RevokedKeys " revoked " names the key"
}
# whether sshd has a host key that it may show, or that is not known
function host_key_fits(   n, m, i, j, path, name, kind) {
    n = split(said["hostkey"], path, "\t")
    m = split(says("hostkeyalgorithms"), name, ",")
    if (!n || !m || name[1] ~ /^[-+^]/) return 1
    if (said["hostkeyagent"] != "" && says("hostkeyagent") != "none" || said["hostcertificate"] != "" && says("hostcertificate") != "none") return 1
    for (i = 1; i <= n; i++) {
        sub(/.*\//, "", path[i])
        kind = index(path[i], "rsa") ? "rsa" : index(path[i], "ecdsa") ? "ecdsa" : index(path[i], "ed25519") ? "ed25519" : ""
        if (kind == "") return 1
        for (j = 1; j <= m; j++) if (index(name[j], kind) && name[j] !~ /-cert-|^sk-/) return 1
    }
    return 0
}
{ name = substr($0, 1, index($0, "\t") - 1); said[name] = substr($0, index($0, "\t") + 1) }
END {
    gsub(/@\*\t/, "\t", said["denyusers"]) # USER@* is USER
    sub(/@\*$/, "", said["denyusers"])
    gsub(/@\*\t/, "\t", said["allowusers"])
    sub(/@\*$/, "", said["allowusers"])
    if (said["denyusers"] != "" && listed(user, without_hosts(said["denyusers"]), "\t")) shut = "DenyUsers names " user
    else if (said["allowusers"] != "" && !listed(user, part_of_user(said["allowusers"]), "\t"))
        shut = "AllowUsers does not name " user
    else if (said["denygroups"] != "" && listed(groups, said["denygroups"], "\t")) shut = "DenyGroups names " user
    else if (said["allowgroups"] != "" && !listed(groups, said["allowgroups"], "\t"))
        shut = "AllowGroups does not name " user
    else if (says("maxsessions") == "0") shut = "MaxSessions 0 opens no session"
    else if (says("maxauthtries") == "0") shut = "MaxAuthTries 0 takes no try"
    else if (says("refuseconnection") == "yes") shut = "RefuseConnection yes takes no connection"
    else if (says("persourcemaxstartups") == "0") shut = "PerSourceMaxStartups 0 takes no connection"
    if (shut != "") print "shut sshd\047s " shut
    if (!host_key_fits()) print "unfit sshd has no host key of the kinds that it may show (HostKeyAlgorithms " says("hostkeyalgorithms") ")"
    if (says("pubkeyauthentication") == "no") print "keys sshd takes no keys (PubkeyAuthentication no)"
    else if (says("authorizedkeysfile") == "none" && elsewhere() == "")
        print "keys sshd reads no file of keys (AuthorizedKeysFile none)"
    else if ((refused = unknown_token()) != "") print "keys " refused
    else if ((refused = no_key_fits()) != "") print "keys " refused
    if (says("passwordauthentication") == "no" && says("kbdinteractiveauthentication") == "no")
        print "passwords sshd takes no passwords (PasswordAuthentication no)"
    n = split(said["authenticationmethods"], lists, "\t")
    for (i = 1; i <= n; i++) {
        m = split(lists[i], method, ",")
        fine = 1
        wanted = 0 # another key each time
        for (j = 1; j <= m; j++) {
            if (!able(method[j])) fine = 0
            if (tolower(method[j]) ~ /^publickey(:|$)/) wanted++
        }
        if (wanted > 1 && wanted > number_of_keys()) fine = 0
        if (fine || tolower(lists[i]) == "any") n = 0
    }
    if (n) {
        gsub(/\t/, " ", said["authenticationmethods"])
        print "methods sshd wants more than one way to log in (AuthenticationMethods " said["authenticationmethods"] ")"
    }
    if (has_key && elsewhere() != "") print "bound " elsewhere()
    by_address("allowusers", "AllowUsers")
    by_address("denyusers", "DenyUsers")
    old("ciphers", "Ciphers", "chacha20-poly1305|aes(128|192|256)-ctr|aes(128|256)-gcm")
    old("kexalgorithms", "KexAlgorithms", "curve25519-|ecdh-sha2-|diffie-hellman-group(14-sha256|16|18|-exchange-sha256)|sntrup761|mlkem768")
    old("hostkeyalgorithms", "HostKeyAlgorithms", "rsa-sha2|ecdsa-|ssh-ed25519|sk-")
    old_by_parts()
    if (("\t" said["setenv"]) ~ /\tPATH=/) {
        gsub(/\t/, " ", said["setenv"])
        print "bound sshd\047s SetEnv " said["setenv"] " holds for " user
    }
    n = split("forcecommand ForceCommand chrootdirectory ChrootDirectory", other, " ")
    for (i = 1; i < n; i += 2) if (said[other[i]] != "" && says(other[i]) != "none") {
        gsub(/\t/, " ", said[other[i]])
        print "bound sshd\047s " other[i + 1] " " said[other[i]] " holds for " user
    }
}
'

# Can the owner get in, and become root? Asked of the image's own programs where the quick reading finds more than
# defaults. Fails only on certainty: a good image is never failed on a guess.
step_access() {
    if [ "$access" = off ]; then
        did='off (ACCESS=off)'
    elif [ -z "$user" ]; then
        did='no user name: skipped'
    elif [ -n "$dry_run" ]; then
        did='would be asked'
    elif ! account "$user"; then
        did="there is no account $user: skipped"
    else
        if [ -z "$root" ] && own_unit_makes_keys; then
            await_host_keys
            sync_host_keys
        fi
        sudo_doubt='' sudo_bounds='' sudo_usual=yes sudo_proven=''
        ! tree_has sudo || sudo_bounds
        doubt_sudo
        [ -z "$sudo_doubt" ] || warn "$sudo_doubt"
        if tree_has sudo && [ -z "$sudo_proven" ]; then
            [ -z "$sudo_bounds" ] || line "${sudo_bounds%"$NEWLINE"}" | while IFS= read -r text; do warn "$text"; done
            [ "$around_says" = no ] || doubts_around sudo yes
        fi
        if [ ! -s "$work/keys" ] && [ ! -s "$work/bad-keys" ] && [ "$password_wanted" != yes ]; then
            did='neither a key nor a password was asked for'
            return
        fi
        judge_access
    fi
}

judge_access() {
    has_key=0 has_password=0 why=''
    [ ! -s "$work/keys" ] || has_key=1
    [ "${ovf_password-}" != yes ] || has_password=1
    [ -n "${sshd_main+known}" ] && [ "$sshd_plain" = yes ] || sshd_for_user
    say_doubts
    no_way_in
    if [ -z "$why" ]; then
        [ -z "$bounds" ] || line "$bounds" | while IFS= read -r text; do warn "$text"; done
        did="$user gets in"
        [ -n "$sudo_doubt" ] || did="$did and becomes root"
    elif [ "$access" = warn ] || [ "$sshd_unsure$sshd_broken" = yes ]; then
        warn "no way to log in: $why"
        did='in doubt'
    else
        set --
        while IFS= read -r text; do [ $# -ge 8 ] || set -- "$@" "$text"; done <"$work/bad-keys"
        fail "no way to log in: $why" "$@"
    fi
}

# Sets why, "" when something is left, and bounds, what sshd lets the owner do no more than. What other programs of the image bring is not judged.
no_way_in() {
    all_skipped="$skip $skip_setting" bounds=''
    if [ "$has_key$has_password" = 00 ]; then
        ! has keys "$all_skipped" && ! has password "$all_skipped" || return 0
        why='passwords are wanted, and none came'
        [ ! -s "$work/bad-keys" ] || why='no usable key'
        return
    fi
    if ! tree_has sshd; then
        [ -n "$root" ] && [ -n "$sshd_main" ] || warn 'no sshd: nobody logs in over the network'
        [ -n "$sshd_main" ] || return 0
    elif [ -z "$root" ] && [ ! -x "$folder/sshd" ]; then
        why='sshd does not start: it is no program that anybody may run'
        return
    fi
    [ -z "$sshd_broken" ] || why="sshd does not start: $sshd_broken"
    [ -n "$why" ] || shut_account
    groups_with "$user"
    [ -n "$why" ] || closed_way
    [ -z "$why" ] || return 0
    sshd_says revokedkeys
    revoked_folder='' # some awks end where they are to read one
    [ -z "$value" ] || [ ! -d "$root$value" ] || revoked_folder=yes
    # nothing that is plain can shut anybody out but a policy on passwords
    [ "$sshd_plain$has_password" = yes0 ] || awk -v root="$root" -v user="$user" -v groups="$user_groups" -v keys="$work/keys" \
        -v has_key="$has_key" -v has_password="$has_password" -v revoked_folder="$revoked_folder" "$SSHD_WORDS$SSHD_JUDGE" "$work/sshd" >"$work/judged"
    [ -e "$work/judged" ] || : >"$work/judged"
    key_refused='' password_refused='' methods_missing='' unfit=''
    while read -r name text; do
        case $name in
            shut) why=$text ;;
            keys) key_refused=$text ;;
            unfit) unfit=$text ;;
            passwords) password_refused=$text ;;
            methods) methods_missing=$text ;;
            bound) bounds=$bounds${bounds:+$NEWLINE}$text ;;
        esac
    done <"$work/judged"
    [ -n "$why" ] || has host-keys "$all_skipped" || without_host_keys
    [ -n "$why" ] || has host-keys "$all_skipped" || why=$unfit
    [ -z "$why" ] || return 0
    ways='' refusals=''
    if [ "$has_key" = 1 ] && ! has keys "$all_skipped"; then
        [ -n "$key_refused" ] || unreadable_keys
        ways=${key_refused:-open} refusals=$key_refused
    fi
    if [ "$has_password" = 1 ] && ! has password "$all_skipped"; then
        ways=$ways${password_refused:-open}
        refusals=$refusals${refusals:+${password_refused:+; }}$password_refused
    fi
    case $ways in
        open* | *open | '') why=$methods_missing ;;
        *) why=$refusals ;;
    esac
}

# Sets why where the account itself lets nobody in.
shut_account() {
    account "$user" || return 0
    case ${shell##*/} in
        nologin | false | true | sync | halt | shutdown | git-shell) why="the shell of $user is $shell" ;;
        ?*)
            [ -n "$root" ] || [ -e "$shell" ] || why="the shell of $user, $shell, is not there"
            [ -n "$root" ] || [ ! -d "$shell" ] || why="the shell of $user, $shell, is a folder"
            case $root$why${shell##*/} in
                bash | sh | dash) ;;
                *) [ -n "$root$why" ] || not_a_program "$shell" ;;
            esac
            ;;
    esac
    [ -z "$why" ] || return 0
    nss_services passwd
    case $services in
        '' | files* | compat*) ;;
        *)
            # shellcheck disable=SC2086 # one blank between words
            [ -n "$root" ] || ! have getent || nss_account "$user" ||
                why="the system does not find the account $user (passwd: $(line $services) in /etc/nsswitch.conf)"
            ;;
    esac
    [ -z "$why" ] || return 0
    nss_services shadow
    # shellcheck disable=SC2086 # one blank between words
    [ -z "$services" ] || has files "$services" || has compat "$services" ||
        warn "nothing looks into /etc/shadow (shadow: $(line $services) in /etc/nsswitch.conf): PAM may keep $user out"
    entry "$user" shadow || return 0
    IFS=:
    # shellcheck disable=SC2086 # fields
    set -- $entry::::::::
    IFS=" $TAB$NEWLINE"
    number "$8" 0 99999999 || return 0
    epoch
    [ "$number" -gt $((unix_time / 86400)) ] || why="the account $user has expired"
}

# sshd does not use a host key of root's that others may read, but for Fedora's group ssh_keys. By path, owner and mode.
close_host_key() {
    case $owner$mode in
        0*00) ;;
        0*)
            text_of "$root/etc/group"
            case $mode$NEWLINE$text in
                *40"$NEWLINE"*"${NEWLINE}ssh_keys:"*) ;;
                *)
                    chmod 600 "$path"
                    warn "others could read $path, and sshd would not use it: it has mode 600 from now on"
                    ;;
            esac
            ;;
    esac
}

# not_a_program FILE: sets why where the kernel does not start it: it is empty or a text without #!, or what it is started
# by is not there.
not_a_program() {
    head -c 4096 "$1" | LC_ALL=C tr '\000' '\n' | LC_ALL=C awk '
        NR == 1 && /^#!/ { sub(/^#![ \t]*/, ""); sub(/[ \t].*/, ""); print "by " ($0 == "" ? "/" : $0); found = 1; exit }
        NR == 1 && !/^\177ELF/ { print /[^\t -~]/ ? "by /" : "text"; found = 1; exit }
        /^\/[^ ]*\/ld[^ ]*$/ { print "by " $0; found = 1; exit }
        END { if (!found) print NR ? "by /" : "text" }' >"$work/starts"
    read -r how text <"$work/starts"
    if [ "$how" = text ]; then
        why="the shell of $user, $1, is no program"
    elif [ ! -e "$text" ]; then
        why="the shell of $user, $1, wants $text, which is not there"
    fi
}

# Sets why where the owner reaches neither home nor shell: a root folder that mktemp made is 0700.
closed_way() {
    [ -z "$root" ] && [ "$me" = 0 ] || return 0
    set +f
    set -- / /usr /usr/lib /usr/lib/*-linux-* /lib64 /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 \
        /run/sshd /etc/ssh/ssh_host_rsa_key /etc/ssh/ssh_host_ecdsa_key /etc/ssh/ssh_host_ed25519_key
    libraries="$(line /usr/lib/*-linux-*/lib[ct]*.so.6) /lib64/libc.so.6 /lib64/libtinfo.so.6"
    set -f
    for path in "$home" "$shell"; do
        passed=''
        rest=${path#/}
        while [ "$rest" != "${rest#*/}" ]; do
            passed=$passed/${rest%%/*}
            rest=${rest#*/}
            set -- "$@" "$passed"
        done
    done
    # shellcheck disable=SC2086 # one file a word
    stat -L -c '%a %u %g %n' "$@" ${shell:+"$shell"} $libraries >"$work/ways" 2>/dev/null || :
    while read -r mode owner group path; do
        case $path in
            /etc/ssh/ssh_host_*) close_host_key ;;
            /run/sshd) close_empty_folder ;;
            */libc.so.6 | */libtinfo.so.6)
                gives 4567 || why="$user cannot read $path, which has mode $mode"
                ;;
            */libc* | */libt*) ;;
            "$shell" | */ld-linux-*)
                gives 1357 || why="$user may not run $path, which has mode $mode"
                ;;
            *) gives 1357 || why="$user cannot enter $path, which has mode $mode" ;;
        esac
        [ -z "$why" ] || return 0
    done <"$work/ways"
}

# gives DIGITS: by mode, owner and group of a file or folder, the account has one of the digits there.
gives() {
    # shellcheck disable=SC2254 # digits
    case $mode in
        *[$1]) return 0 ;;
        *[$1]?) ! has "$group" "$user_gids" || return 0 ;;
    esac
    # shellcheck disable=SC2254 # digits
    case $mode in
        *[$1]??) [ "$owner" != "$uid" ] || return 0 ;;
    esac
    return 1
}

# sshd does not start where others could write into the folder in which it keeps itself apart. By path, owner and mode.
close_empty_folder() {
    case $owner:$mode in
        0:*[0145][0145]) ;;
        *)
            chown 0:0 "$path"
            chmod 755 "$path"
            warn "others than root could write into $path, and sshd would not start: it is root's alone from now on"
            ;;
    esac
}

# Sets why where sshd does not start: sshd_config names host keys, and none of them is there.
without_host_keys() {
    sshd_says hostkey
    [ -n "$value" ] && [ -z "$root" ] || return 0
    IFS=$TAB
    # shellcheck disable=SC2086 # one path a word
    set -- $value
    IFS=" $TAB$NEWLINE"
    for path in "$@"; do [ ! -e "$path" ] || return 0; done
    why="sshd does not start: none of its host keys is there (HostKey $*)"
}

# Sets key_refused where sshd does not read the keys that were written (sshd_config(5): StrictModes).
unreadable_keys() {
    # sshd may name another place than its files seemed to
    if [ "$sshd_plain" = yes ]; then
        sshd_says authorizedkeysfile
        keys_path
    else
        bring_keys
    fi
    [ "$sshd_plain" = yes ] || closed_to_sshd
    [ -z "$key_refused" ] || return 0
    sshd_says strictmodes
    [ "$word" != no ] && [ "$me" = 0 ] && { [ -n "$home_was" ] || [ "$sshd_plain" = no ]; } || return 0
    checked=$keys_path
    while [ -n "$checked" ] && [ "$checked" != "${home%/*}" ]; do
        owner_mode=$(stat -L -c '%u %a' "$root$checked")
        case ${owner_mode#* } in
            *[2367]? | *[2367]) key_refused="sshd reads no keys below $checked, into which others can write" ;;
        esac
        has "${owner_mode% *}" "0 $uid" ||
            key_refused="sshd reads no keys below $checked, into which others can write"
        [ -z "$key_refused" ] || return 0
        checked=${checked%/*}
    done
}

# Sets key_refused where sshd, which reads as the user, does not get to the file of keys.
closed_to_sshd() {
    [ -z "$root" ] && [ "$me" = 0 ] || return 0
    set --
    passed=''
    rest=${keys_path#/}
    while [ "$rest" != "${rest#*/}" ]; do
        passed=$passed/${rest%%/*}
        rest=${rest#*/}
        set -- "$@" "$passed"
    done
    stat -L -c '%a %u %g %n' "$@" >"$work/ways" 2>/dev/null || :
    while read -r mode owner group path; do
        gives 1357 || {
            key_refused="sshd reads no keys from $keys_path: $user cannot enter $path"
            return
        }
    done <"$work/ways"
}

# What may keep the owner out, or let others in, and cannot be asked.
say_doubts() {
    [ ! -e "$root/etc/nologin" ] || warn '/etc/nologin is there: nobody but root logs in while it is'
    sshd_says usepam
    pam_types='account session'
    [ "$has_key$has_password" != 01 ] || pam_types="auth $pam_types"
    [ "$around_says$pam_types" = 'noaccount session' ] || doubts_around sshd "$word"
    pam_types=''
    ending_shell
    not_a_shell
    shut_units
    path_without_programs
    [ ! -e "$root/etc/ssh/sshd_not_to_be_run" ] ||
        warn "/etc/ssh/sshd_not_to_be_run is there: Debian's ssh.service does not start while it is"
    sshd_says listenaddress
    certain_places=''
    listens_here "$value"
    sshd_says addressfamily
    [ "$word" != inet6 ] || [ "$listens" = here ] || listens=6
    [ "$listens" != 6 ] || warn 'sshd listens to IPv6 alone'
    [ "$listens" = 6 ] || [ -z "$certain_places" ] || warn "sshd listens to certain addresses alone (ListenAddress $certain_places)"
    [ "$password_login" = yes ] || [ "$sshd_opens" = no ] || warn 'a Match block of sshd_config allows passwords'
    authority=$has_key
    [ "$has_key" = 0 ] || while read -r text || [ -n "$text" ]; do
        case ${text%%AAAA*} in
            cert-authority* | *,cert-authority*) ;;
            *) authority='' ;;
        esac
    done <"$work/keys"
    [ "$authority" != 1 ] || warn "every key is an authority's: $user gets in by a certificate alone (cert-authority)"
    [ "$sshd_shuts" != yes ] ||
        warn "a Match block of sshd_config may keep $user out, by where the connection comes from"
}

# Says by which files the owner's shell may end before it does anything, or have no programs; the shell itself is asked
# where they hold more than the usual. What reads bash's own other files is usual, and a PATH of programs.
ending_shell() {
    set +f
    set -- "$root"/etc/profile.d/*.sh
    set -f
    files=''
    for file in "$root/etc/bash.bashrc" "$root/etc/bashrc" "$root/etc/profile" "$@" \
        "$root$home/.bashrc" "$root$home/.bash_profile" "$root$home/.bash_login" "$root$home/.profile"; do
        [ ! -f "$file" ] || [ ! -r "$file" ] || files="$files$file$NEWLINE"
    done
    [ -n "$files" ] || return 0
    IFS=$NEWLINE
    # shellcheck disable=SC2086 # one file a line
    set -- $files
    IFS=" $TAB$NEWLINE"
    LC_ALL=C awk '
        BEGIN { n = split("exit,exec ,kill,logout,set -,trap ,source ,. /,ulimit,PATH=", word, ",") }
        !/exit|exec |kill|logout|set -|trap |source |[.] \/|ulimit|PATH=/ || /^[ \t]*#/ { next }
        {
            if (!(FILENAME in rank)) { order[++files] = FILENAME; rank[FILENAME] = n + 1 }
            for (i = n; i; i--) {
                usual = word[i] == ". /" && /bash/ || word[i] == "PATH=" && /[$]PATH|\/bin/
                if (index($0, word[i]) && !usual && i < rank[FILENAME]) rank[FILENAME] = i
            }
            if (/^(exit|exec [\/a-z])/) sure[FILENAME] = 1
        }
        END {
            for (i = 1; i <= files; i++) if (rank[order[i]] <= n) {
                said = word[rank[order[i]]]
                sub(/[ \/-]+$/, "", said)
                print sure[order[i]] + 0, said, order[i]
            }
        }' "$@" >"$work/suspects"
    [ -s "$work/suspects" ] || return 0
    stays=''
    shell_stays
    [ "$stays" != yes ] || return 0
    while read -r sure said file; do
        [ "$sure$stays" = 0 ] || warn "${file#"$root"} may end the shell of $user: it says $said"
    done <"$work/suspects"
}

# Sets stays, yes or no, where it can be asked whether the owner's shell does what it is told, as a command and by lines, as
# sshd starts it. bash reads .bashrc for a command that sshd brings.
shell_stays() {
    [ -z "$root" ] && [ "$me" = 0 ] || return 0
    case ${shell##*/} in
        bash | sh | dash) ;;
        *) return 0 ;;
    esac
    # shellcheck disable=SC2016 # for the other shell
    try_for 20 su -s /bin/sh "$user" -c 'cd; SSH_CLIENT="203.0.113.1 1 22" SHLVL=0 "$0" -c "echo; x=\$(id -u) && echo by-command"
echo "echo; x=\$(id -u) && echo by-lines" | HISTFILE= "$0" -l -i
echo; echo asked' "$shell" || return 0
    stays=$(awk '
        /[^ \t\r]/ { last = $0; seen[$0] = 1 }
        END { if (last == "asked") print (("by-command" in seen) && ("by-lines" in seen)) ? "yes" : "no" }' "$work/output")
}

# Says so where what stands for the owner's shell runs no command, by its own word.
not_a_shell() {
    case ${shell##*/} in
        '' | bash | sh | dash | rbash | ash | zsh | ksh | mksh | fish | tcsh | csh) return 0 ;;
    esac
    # shellcheck disable=SC2016 # for the other shell
    [ -z "$root" ] && [ "$me" = 0 ] && try_for 20 su -s /bin/sh "$user" -c '"$0" -c "echo; echo by-command"; echo; echo asked' "$shell" || return 0
    awk '/[^ \t\r]/ { last = $0; seen[$0] = 1 } END { exit !(last == "asked" && !("by-command" in seen)) }' "$work/output" || return 0
    warn "the shell of $user, $shell, runs no command"
}

# Says so where sshd's unit is masked (systemctl(1)), and no other starts sshd. A service that is not masked counts as one
# that is wanted.
shut_units() {
    masked=''
    for unit in ssh.service sshd.service ssh.socket sshd.socket; do
        [ -e "$root/usr/lib/systemd/system/$unit" ] || [ -e "$root/lib/systemd/system/$unit" ] || continue
        file=$root/etc/systemd/system/$unit
        if [ -e "$file" ] && [ ! -s "$file" ]; then
            masked="$masked $unit"
            continue
        fi
        file=$root/etc/systemd/system/sockets.target.wants/$unit
        case $unit in
            *.service) return 0 ;;
        esac
        [ ! -e "$file" ] && [ ! -h "$file" ] || return 0
    done
    masked=${masked# }
    [ -z "$masked" ] || warn "${masked%% *} is masked: sshd does not start by it"
}

# Says so where PATH has no programs by /etc/environment, else by pam_env.conf(5).
path_without_programs() {
    environment_path
    file=/etc/environment
    [ -n "$path" ] || {
        pam_env_path
        file=/etc/security/pam_env.conf
    }
    [ -z "$path" ] || has_shell "$path" || warn "$file leaves $user without programs: PATH=$path"
}

# Sets path to that of /etc/environment, by the last line that says so (pam_env(8)): nothing is expanded there.
environment_path() {
    path=''
    [ -f "$root/etc/environment" ] && [ -r "$root/etc/environment" ] || return 0
    while read -r text || [ -n "$text" ]; do
        case $text in
            'export '*) trim "${text#export }" && text=$trimmed ;;
        esac
        case $text in
            PATH=*) path=${text#PATH=} ;;
        esac
    done <"$root/etc/environment"
    path=${path#[\"\']}
    path=${path%[\"\']}
}

# Sets path to that of pam_env.conf(5), by the last line that says so: OVERRIDE, else DEFAULT. What it asks of other
# variables is empty, since sshd has set none yet.
pam_env_path() {
    path=''
    file=$root/etc/security/pam_env.conf
    [ -f "$file" ] && [ -r "$file" ] || return 0
    whole=''
    while read -r text || [ -n "$text" ]; do
        case $text in
            '#'*) continue ;;
            *\\)
                whole="$whole${text%\\} "
                continue
                ;;
        esac
        whole=$whole$text
        case $whole in
            PATH[\ $TAB]*)
                override='' path=''
                # shellcheck disable=SC2086 # words
                set -- ${whole%%#*}
                for text in "$@"; do
                    case $text in
                        OVERRIDE=*) override=${text#*=} ;;
                        DEFAULT=*) path=${text#*=} ;;
                    esac
                done
                path=${override:-$path}
                ;;
        esac
        whole=''
    done <"$file"
    path=${path#\"}
    path=${path%\"}
    while :; do
        case $path in
            *'${'*'}'*) path=${path%%'${'*}${path#*'${'*'}'} ;;
            *) return 0 ;;
        esac
    done
}

# doubts_around SERVICE USEPAM: what PAM's rules and hosts.deny have against the owner.
doubts_around() {
    find_pam_modules
    groups_with "$user"
    account "$user" || :
    awk -v root="$root" -v service="$1" -v uses_pam="$2" -v user="$user" -v uid="$uid" -v groups="$user_groups" -v shell="$shell" \
        -v modules="$modules" -v pam_types="${pam_types-}" -v limits="$limits" -v folders="$folders" \
        "$PAM_RULES$PAM_DOUBTS" </dev/null >"$work/doubts"
    while IFS= read -r text; do warn "$text"; done <"$work/doubts"
}

# listens_here PLACES: says so where all of them, tabs between, are this machine's own. Sets listens to 6 where all
# others are of IPv6.
listens_here() {
    listens=''
    [ -n "$1" ] || return 0
    IFS=$TAB
    # shellcheck disable=SC2086 # one place a word
    set -- $1
    IFS=" $TAB$NEWLINE"
    listens=here
    everywhere=''
    for place in "$@"; do
        case $place in
            127.* | ::1* | \[127.* | \[::1* | localhost*) ;;
            \[* | *::*) [ "$listens" = 4 ] || listens=6 ;;
            *) listens=4 ;;
        esac
        case $place in
            0.0.0.0* | \**) everywhere=yes ;;
        esac
    done
    [ "$listens$everywhere" != 4 ] || certain_places=$*
    [ "$listens" != here ] || warn "sshd listens to this machine alone (ListenAddress $*)"
}

# Sets sudo_doubt when the user does not become root without a password, by the answer of sudo or doas.
doubt_sudo() {
    if tree_has sudo; then
        [ -z "$root" ] || return 0
        sudo_is_closed
        [ -z "$sudo_doubt" ] && ! sudo_is_plain || return 0
        if ! try sudo -n -l -U "$user"; then
            not_known="whether $user may sudo is not known: $error"
            tried_sudo # root may not be allowed to ask
            [ -n "$sudo_proven" ] || sudo_doubt=$not_known
        elif ! awk '
            { text = $0; gsub(/^[ \t]+|[ \t]+$/, "", text) }
            text ~ /^\(/ && text ~ / ALL(, ALL)?$/ { free = index(text, "NOPASSWD:") }
            END { exit !free }' "$work/output"; then
            sudo_doubt="$user cannot become root: sudo wants a password that nobody has"
        else
            tried_sudo
        fi
    elif tree_has doas && [ -z "$root" ]; then
        if [ ! -e /etc/doas.conf ] || try doas -C /etc/doas.conf; then
            tried_sudo doas
        else
            sudo_doubt="$user cannot become root: $error"
        fi
    elif [ -z "$root" ] && [ -e /etc/sudoers.d ] && ! tree_has doas; then
        sudo_doubt="$user cannot become root: there is no sudo"
    fi
}

# What sudo's settings let the user do no more than, where their rule is in force (sudoers(5): Defaults).
sudo_bounds() {
    requiretty='' runas_default=root secure_path='' runchroot='' runcwd=''
    read_sudoers
    settings=$sudo_defaults
    set +f
    set -- "$root"/etc/sudoers.d/*
    set -f
    for file in "$@"; do
        name=${file##*/}
        ! is_ours "$name" && [ "$name" != README ] && [ -f "$file" ] && [ -r "$file" ] || continue
        case $name in
            *'~' | *.*) continue ;;
        esac
        while read -r text || [ -n "$text" ]; do
            case $text in
                Defaults*) settings=$settings$text$NEWLINE ;;
            esac
        done <"$file"
    done
    IFS=$NEWLINE
    # shellcheck disable=SC2086 # one line a word
    set -- $settings
    IFS=" $TAB$NEWLINE"
    for text in "$@"; do
        case $text in
            Defaults[!\ $TAB]* | *\\* | *\"*[#,]* | *[#,]*\"*) sudo_usual='' ;; # for sudo itself to read
        esac
        sudo_setting "${text#Defaults}"
    done
    [ -z "$requiretty" ] || sudo_is_bound 'sudo wants a terminal: requiretty'
    case $runas_default in
        root | '#0') ;;
        *) sudo_is_bound "sudo makes $user $runas_default, and not root: runas_default" ;;
    esac
    [ -z "$secure_path" ] || has_shell "$secure_path" || sudo_is_bound "sudo finds no programs: secure_path $secure_path"
    for text in "runchroot $runchroot" "runcwd $runcwd"; do
        case ${text#* } in
            /*) [ -e "$root${text#* }" ] || sudo_is_bound "sudo starts no program: $text is not there" ;;
        esac
    done
}

sudo_is_bound() { sudo_bounds=$sudo_bounds$1$NEWLINE; }

# tried_sudo [doas]: sets sudo_doubt to what it says itself where the user does not become root by it, sudo_proven where
# they do.
tried_sudo() {
    try su -s /bin/sh "$user" -c "${1-sudo} -n id -u; echo asked" || return 0
    awk -v tool="${1-sudo}" '
        $0 == "0" { root = 1 }
        /[^ \t\r]/ { if ($0 == "asked") asked = said ~ /./ ? said : tool " ends without a word"; else said = $0 }
        END { if (root) print "root"; else if (asked != "") print (asked ~ /^[0-9]+$/ ? tool " makes " : "") asked }' "$work/output" >"$work/tried"
    read -r text <"$work/tried" || return 0
    if [ "$text" = root ]; then
        sudo_proven=yes
    else
        sudo_doubt="$user cannot become root: $text"
    fi
}

# sudo_setting SCOPE-AND-SETTINGS: sets what it says to everybody, or to this user.
sudo_setting() {
    case $1 in
        [\ $TAB]*) text=$1 ;;
        ":$user"[\ $TAB]*) text=${1#:"$user"} ;;
        *) return 0 ;;
    esac
    text=${text%%#*}
    IFS=,
    # shellcheck disable=SC2086 # one setting a word
    set -- $text
    IFS=" $TAB$NEWLINE"
    for text in "$@"; do
        trim "$text"
        text=$trimmed
        trim "${text%%=*}"
        setting=$trimmed
        trim "${text#*=}"
        value=${trimmed#\"}
        value=${value%\"}
        bare=${setting#!}
        trim "${bare%[+-]}"
        case " $USUAL_DEFAULTS " in
            *" $trimmed "*) ;;
            *) sudo_usual='' ;;
        esac
        case $setting=$text in
            requiretty=requiretty) requiretty=yes ;;
            '!requiretty='*) requiretty='' ;;
            runas_default=*=*) runas_default=$value ;;
            secure_path=*=*) secure_path=$value ;;
            runchroot=*=*) runchroot=$value ;;
            runcwd=*=*) runcwd=$value ;;
        esac
    done
}

# trim TEXT: sets trimmed, without blanks around it.
trim() {
    trimmed=${1#"${1%%[! $TAB]*}"}
    trimmed=${trimmed%"${trimmed##*[! $TAB]}"}
}

# has_shell PATH: one of its folders has one.
has_shell() {
    IFS=:
    # shellcheck disable=SC2086 # one folder a word
    set -- $1
    IFS=" $TAB$NEWLINE"
    for folder in "$@"; do [ ! -e "$root$folder/sh" ] || return 0; done
    return 1
}

# What sudoers may say to everybody, and nobody is kept from becoming root by it, or it is looked at above.
USUAL_DEFAULTS='always_query_group_plugin always_set_home badpass_message editor env_editor env_keep env_reset insults lecture log_host log_year mail_badpass mailto match_group_by_gid'
USUAL_DEFAULTS="$USUAL_DEFAULTS passprompt passwd_timeout passwd_tries pwfeedback secure_path setenv syslog timestamp_timeout tty_tickets use_pty visiblepw"

# Sets sudo_doubt when the program itself makes nobody root, by its owner and mode, which write_sudoers has seen.
sudo_is_closed() {
    path=$(command -v sudo) || return 0
    [ -n "$sudo_mode" ] || sudo_mode=$(stat -L -c '%u %a' "$path")
    case $sudo_mode in
        0\ [4567][0-7][0-7][1357])
            if [ -z "$nosuid" ] && [ -z "$root" ]; then
                nosuid=no
                ! awk '{ options[$2] = $4 } END {
                    s = ("/usr/bin" in options) ? options["/usr/bin"] : ("/usr" in options) ? options["/usr"] : options["/"]
                    exit !index("," s ",", ",nosuid,") }' /proc/self/mounts || nosuid=yes
            fi
            [ "$nosuid" != yes ] || sudo_doubt="$user cannot become root: $path is on a file system that is mounted nosuid"
            ;;
        0\ [4567][0-7][1357][0-7]) may_run_sudo ;;
        0\ [4567][0-7][0-7][0-7]) sudo_doubt="$user may not run $path, which has mode ${sudo_mode#* }" ;;
        *) sudo_doubt="$user cannot become root: $path is not setuid root" ;;
    esac
}

# Where only a group may run sudo: whether the user is in it.
may_run_sudo() {
    groups_with "$user"
    has "$(stat -L -c %g "$path")" "$user_gids" || sudo_doubt="$user may not run $path, which has mode ${sudo_mode#* }"
}

# sudoers is read as we wrote it: our rule, which is for this user, is the last that sudo sees.
sudo_is_plain() {
    rule_file /etc/sudoers.d ''
    read_sudoers
    [ -n "$sudo_usual" ] || return 1
    [ "$included$rule_last" = yesyes ] || [ -n "$ours_included" ] || return 1
    [ -n "$sudoers_plain" ] && [ -r "$rule_file" ] || return 1
    ours=''
    while read -r text; do
        case $text in
            "$user ALL="* | "\"$user\" ALL="*) ours=yes ;;
        esac
    done <"$rule_file"
    [ -n "$ours" ] || return 1
    nss_services sudoers
    has "${services:-files}" files || return 1
    [ "$plugins" = no ] || [ ! -r /etc/sudo.conf ] ||
        ! awk '$1 == "Plugin" && ($3 != "sudoers.so" || NF > 3) || $1 == "Path" && $2 == "plugin_dir" { found = 1 } END { exit !found }' /etc/sudo.conf
}

# take STEP: one step, with its time.
take() {
    step=$1
    clock
    started=$now
    did=''
    case $step in
        hostname) step_hostname ;;
        user) step_user ;;
        sudo) step_sudo ;;
        keys) step_keys ;;
        password) step_password ;;
        sshd) step_sshd ;;
        host-keys) step_host_keys ;;
        custom-data) step_custom_data ;;
        entropy) step_entropy ;;
        grow) step_grow ;;
        hooks) step_hooks ;;
        ovf-copy) step_ovf_copy ;;
        access) step_access ;;
    esac
    clock
    say "$step: $did ($(((now - started) * 10)) ms)"
    step=''
}

# ---- report ----

# Fields, one a line, to a description: REASON|key=value|..., cut before escaping so that it keeps within the 4,096
# characters that the platform takes after it. Escaped for XML, or for a JSON string.
DESCRIBE=$SHARED'
function escaped(s) {
    if (form == "json") { gsub(/[\\"]/, "\\\\&", s); return s }
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    gsub(/>/, "\\&gt;", s)
    return s
}
function over(s,   n) { n = int((length(escaped(s)) - 4095) / 6); return n > 1 ? n : 1 }
{
    gsub(/[|\001-\037\177]/, " ")
    if (length($0) > 1500) $0 = fit($0, 1500) "..."
    text = text (NR > 1 ? "|" : "") valid($0)
}
END {
    while (length(escaped(text)) > 4095) text = fit(text, length(text) - over(text))
    print (form == "" ? fit(text, 1022) : escaped(text))
}
'

# Sets facts, one a line: what every report and KVP record ends with.
facts_now() {
    facts="agent=$AGENT/$VERSION${NEWLINE}vm_id=${vm_id:-unknown}${NEWLINE}timestamp=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}

# send STATE [SUBSTATUS FIELDS [once]]: tells the platform. Sets refused: "" when it accepted, else why not.
send() {
    state_word=$1 substatus=${2-} fields=${3-} once=${4-}
    clock
    delay=5 slow=50 said='' patience=6000
    [ $(((until - now) / 4)) -ge $patience ] || patience=$(((until - now) / 4))
    patience=$((now + patience))
    while :; do
        refused='' json=''
        [ "$form" = json ] || send_xml
        clock
        [ "$form" != auto ] || [ -z "$refused" ] || [ -n "$json" ] || [ "$now" -lt $patience ] || json=yes
        if [ "$form" = json ] || { [ "$form" = auto ] && [ -n "$refused$json" ] && [ -n "$json" ]; }; then
            send_json
        fi
        [ -n "$refused" ] || return 0
        [ "$said" = "$refused" ] || say "report: $refused"
        said=$refused failures=$((failures + 1))
        clock
        limit=$until
        if [ -n "$once" ] || [ "$now" -ge "$limit" ]; then
            return 0
        fi
        pause
    done
}

send_xml() {
    find_wireserver
    clock
    if [ "$goal_from" = "$wireserver" ] && [ "$now" -lt "$goal_until" ]; then
        goal_file=$work/goal.xml trouble=''
        read_head "$work/goal.head"
    else
        http GET "$wireserver/machine?comp=goalstate" 'x-ms-version: 2012-11-30' "x-ms-agent-name: $AGENT"
        goal_file=$work/body
    fi
    goal_from=''
    case $status in
        200) ;;
        '')
            refused="goal state: $trouble"
            return
            ;;
        400 | 403 | 404 | 405 | 501)
            refused="goal state: $status $phrase" json=yes
            return
            ;;
        *)
            refused="goal state: $status $phrase"
            return
            ;;
    esac
    container='' instance='' incarnation=''
    if awk "$SHARED$READ_XML$FOUND_GOAL_STATE" "$goal_file" >"$work/goal" 2>/dev/null; then
        while read -r key value || [ -n "$key" ]; do
            case $key in
                container) container=$value ;;
                instance) instance=$value ;;
                incarnation) incarnation=$value ;;
            esac
        done <"$work/goal"
    fi
    for missing in "ContainerId$container" "InstanceId$instance" "Incarnation$incarnation"; do
        case $missing in
            ContainerId | InstanceId | Incarnation)
                refused="the goal state has no $missing"
                return
                ;;
        esac
    done
    say "ContainerId: $container"
    say "InstanceId: $instance"
    say "Incarnation: $incarnation"
    health_xml
    http POST "$wireserver/machine?comp=health" 'x-ms-version: 2012-11-30' "x-ms-agent-name: $AGENT" \
        'Content-Type: text/xml; charset=utf-8'
    judge
}

# The goal state's own ids and incarnation (protocol 2012-11-30), escaped again: they came from outside.
health_xml() {
    details=''
    [ -z "$substatus" ] || details="<Details><SubStatus>$substatus</SubStatus><Description>$(
        line "$fields" | awk -v form=xml "$DESCRIBE"
    )</Description></Details>"
    escape_xml "$incarnation"
    health='<?xml version="1.0" encoding="utf-8"?><Health xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    health="$health xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><GoalStateIncarnation>$escaped</GoalStateIncarnation>"
    escape_xml "$container"
    health="$health<Container><ContainerId>$escaped</ContainerId><RoleInstanceList><Role>"
    escape_xml "$instance"
    health="$health<InstanceId>$escaped</InstanceId><Health><State>$state_word</State>$details</Health>"
    bare "$health</Role></RoleInstanceList></Container></Health>" >"$work/request"
}

# Sets escaped. Most values need nothing, and then no process is started.
escape_xml() {
    escaped=$1
    case $1 in
        *[\&\<\>]* | *[!\ -~]*) escaped=$(line "$1" | awk -v form=xml "$DESCRIBE") ;;
    esac
}

send_json() {
    find_wireserver
    if [ -n "$substatus" ]; then
        description=$(line "$fields" | awk -v form=json "$DESCRIBE")
        line "{\"state\":\"$state_word\",\"details\":{\"subStatus\":\"$substatus\",\"description\":\"$description\"}}"
    else
        line "{\"state\":\"$state_word\"}"
    fi | tr -d '\n' >"$work/request"
    http POST "$wireserver/provisioning/health" "x-ms-guest-agent-name: $AGENT/$VERSION" 'Content-Type: application/json'
    judge
}

# The answer to a report: any 2xx is success. Sets refused.
judge() {
    case $status in
        '') refused="health report: $trouble" ;;
        2??) refused='' ;;
        *) refused="health report: $status $phrase" ;;
    esac
    [ -z "$status" ] || say "Response: $status $phrase"
}

wants_kvp() { [ "$kvp" = yes ] && [ -z "$dry_run" ] && [ -d "$root/var/lib/hyperv" ]; }

# write_kvp FIELDS: PROVISIONING_REPORT for the host, in Hyper-V's pool: records of 512 bytes of key and 2048 of value,
# NUL-padded; one key has one record. The kernel passes on 1,022 bytes of a value unharmed.
write_kvp() {
    wants_kvp || return 0
    pool=$root/var/lib/hyperv/.kvp_pool_1
    if [ -h "$pool" ]; then
        warn '/var/lib/hyperv/.kvp_pool_1 is a symbolic link'
        return
    fi
    {
        line PROVISIONING_REPORT | tr -d '\n' | dd ibs=512 conv=sync
        line "$1" | awk "$DESCRIBE" | tr -d '\n' | dd ibs=2048 obs=2048 conv=sync
    } >"$work/record" 2>/dev/null
    (
        exec 8>>"$pool" || exit 1
        tries=0
        while have flock && ! flock -n 8 8>&8; do
            [ $tries -lt 10 ] || exit 2
            sleep 0.1 2>/dev/null || sleep 1
            tries=$((tries + 1))
        done
        records=$(($(wc -c <"$pool") / 2560)) at=0
        while [ $at -lt $records ]; do
            key=$(dd if="$pool" bs=2560 skip=$at count=1 2>/dev/null | head -c 512 | tr -d '\000')
            [ "$key" != PROVISIONING_REPORT ] || break
            at=$((at + 1))
        done
        dd if="$work/record" of="$pool" bs=2560 seek=$at conv=notrunc 2>/dev/null
    )
    case $? in
        0) ;;
        2) warn '/var/lib/hyperv/.kvp_pool_1: somebody holds its lock; nothing is written' ;;
        *) warn '/var/lib/hyperv/.kvp_pool_1: cannot be written' ;;
    esac
}

# on_one_line TEXT: sets flat.
on_one_line() {
    flat=$1
    case $flat in
        *"$NEWLINE"*)
            flat=$(line "$1" | tr '\n' ' ')
            flat=${flat% }
            ;;
    esac
}

# fail REASON FACT...: provisioning cannot go on: say why, report why, end.
fail() {
    on_one_line "$1"
    failure=$flat fields=$flat
    shift
    [ -z "$step" ] || set -- "step=$step" "$@"
    for fact in "$@"; do
        on_one_line "$fact"
        say "${flat%%=*}: ${flat#*=}"
        fields=$fields$NEWLINE$flat
    done
    if [ -z "$silent" ]; then
        facts_now
        fields=$fields$NEWLINE$facts
        write_kvp "result=error${NEWLINE}reason=$fields"
        send NotReady ProvisioningFailed "$fields"
        told
        if [ -n "$refused" ]; then
            say "Provisioning failed: $failure; not reported: $refused"
            exit 2
        fi
    fi
    say "Provisioning failed: $failure"
    exit $fail_code
}

# This run says itself how it went: the unit that speaks for programs that did not run has nothing to say.
told() { (umask 077 && mkdir -p "$root/run/azure-provisioning" && : >"$root/run/azure-provisioning/told") 2>/dev/null; }

# finish NAME: report Ready, then switch the unit off, and end.
finish() {
    clock
    if [ -n "$silent" ]; then
        took
        say "Provisioned $1 in $took s: not reported ($silent)"
        exit 0
    fi
    ! wants_kvp || {
        facts_now
        write_kvp "result=success$NEWLINE$facts"
    }
    send Ready
    clock
    took
    if [ -n "$refused" ]; then
        told
        say "Provisioned $1 in $took s, but not reported: $refused; the next boot reports again"
        exit 2
    fi
    [ -n "$stateless" ] || stamp reported || warn "$STATE/reported cannot be written: the next boot reports again"
    disable
    say "Provisioned $1 in $took s: reported Ready"
    exit 0
}

# Sets took: seconds since the start, with two places.
took() {
    took=$((now - began + 100))
    took=$((took / 100 - 1)).${took#"${took%??}"}
}

# Switch the unit off by removing its links, whatever init it is. Busybox init has no links: its line asks the stamp.
disable() {
    set +f
    set -- "$root/etc/systemd/system/multi-user.target.wants/$AGENT.service" "$root/etc/runlevels"/*/$AGENT \
        "$root/etc"/rc[2345].d/S??$AGENT "$root/etc/service/$AGENT" "$root/etc/runit/runsvdir"/*/$AGENT
    set -f
    for wants in "$@"; do
        shift
        if [ -d "$wants" ] && [ ! -h "$wants" ]; then
            warn "${wants#"$root"} stays"
        elif [ -e "$wants" ] || [ -h "$wants" ]; then
            set -- "$@" "$wants"
        fi
    done
    # and with it what we worked in: the run ends here
    rm -rf "$work" "$@" 2>/dev/null
    trap - EXIT
    for wants in "$@"; do
        if [ -e "$wants" ] || [ -h "$wants" ]; then
            warn "${wants#"$root"} stays"
        else
            say "${wants#"$root"} is off from now on"
        fi
    done
}

# ---- command line and settings ----

parse_options() {
    verb=run root='' imds_base=http://169.254.169.254 wireserver_wish='' medium_wish='' platform=auto vm_id=''
    config=/etc/azure-provisioning.conf deadline_option='' report_option='' only='' skip='' dry_run='' failed=''
    told_failed='' in_progress='' wait_for='' every=''
    case ${1-} in
        run | report)
            verb=$1
            shift
            ;;
    esac
    while [ $# -gt 0 ]; do
        option=${1%%=*}
        case $1 in
            --dry-run)
                dry_run=yes
                shift
                continue
                ;;
            --in-progress)
                in_progress=yes
                shift
                continue
                ;;
            --root | --imds | --wireserver | --medium | --platform | --vm-id | --config | --deadline | --report | --only | --skip | --failed | --wait-for | --every)
                [ $# -gt 1 ] || usage "provision.sh: $1 needs a value"
                value=$2
                shift 2
                ;;
            --*=*)
                value=${1#*=}
                shift
                ;;
            *) usage "provision.sh: unknown option or verb '$1': see --help" ;;
        esac
        take_option
    done
    set -- ${told_failed:+--failed} ${wait_for:+--wait-for} ${in_progress:+--in-progress}
    [ $# = 0 ] || [ "$verb" = report ] || usage "provision.sh: $1 belongs to the verb report"
    [ $# -lt 2 ] || usage "provision.sh: $1 and $2 are two reports"
    [ -z "$every" ] || [ -n "$wait_for$in_progress" ] || usage 'provision.sh: --every belongs to --wait-for or --in-progress'
}

take_option() {
    case $option in
        --only | --skip | --failed) ;;
        *) [ -n "$value" ] || usage "provision.sh: $option needs a value" ;;
    esac
    case $option in
        --root) root=$value ;;
        --imds)
            http_url "$value" || usage "provision.sh: --imds is http://HOST or http://HOST:PORT, not '$value'"
            imds_base=${value%/}
            ;;
        --wireserver)
            http_url "$value" || usage "provision.sh: --wireserver is http://HOST or http://HOST:PORT, not '$value'"
            wireserver_wish=${value%/}
            ;;
        --medium) medium_wish=$value ;;
        --platform)
            has "$value" 'auto azure' || usage "provision.sh: --platform is one of auto, azure, not '$value'"
            platform=$value
            ;;
        --vm-id)
            guid "$value" || usage "provision.sh: --vm-id is a GUID, not '$value'"
            vm_id=$value
            ;;
        --config) config=$value ;;
        --deadline)
            number "$value" 1 86400 ||
                usage "provision.sh: --deadline is a number of seconds from 1 to 86400, not '$value'"
            deadline_option=$number
            ;;
        --report)
            has "$value" 'auto xml json none' ||
                usage "provision.sh: --report is one of auto, xml, json, none, not '$value'"
            report_option=$value
            ;;
        --only)
            step_list "$value"
            only=$listed
            ;;
        --skip)
            step_list "$value"
            skip=$listed
            ;;
        --failed)
            failed=$value told_failed=yes
            # a script that knows no reason is not to lose the VM for that
            case $value in *[![:space:][:cntrl:]]*) ;; *) failed='no reason was given' ;; esac
            ;;
        --wait-for) wait_for=$value ;;
        --every)
            number "$value" 1 86400 || usage "provision.sh: --every is a number of seconds from 1 to 86400, not '$value'"
            every=$number
            ;;
        *) usage "provision.sh: unknown option or verb '$option': see --help" ;;
    esac
    case $option in
        --only | --skip)
            [ -z "$unknown" ] || usage "provision.sh: $option: unknown step '$unknown'; the steps are $(line "$STEPS" | sed 's/ /, /g')"
            ;;
    esac
}

http_url() {
    case $1 in
        http://*) ;;
        *) return 1 ;;
    esac
    address=${1#http://}
    address=${address%/}
    port=80
    case $address in
        *:*) port=${address##*:} address=${address%:*} ;;
    esac
    case $address in
        '' | *[!a-zA-Z0-9.-]*) return 1 ;;
    esac
    number "$port" 1 65535
}

# number TEXT LEAST MOST: TEXT is a plain decimal number between them. Sets number, without the zeros at its head:
# arithmetic would take 010 for eight, and end the shell at 08.
number() {
    case $1 in
        '' | *[!0-9]*) return 1 ;;
    esac
    number=${1#"${1%%[!0]*}"}
    number=${number:-0}
    [ ${#number} -le 9 ] && [ "$number" -ge "$2" ] && [ "$number" -le "$3" ]
}

# step_list TEXT: "a,b" to listed, the known ones separated by spaces, and unknown, the first that is none.
step_list() {
    listed='' unknown='' rest=$1,
    while [ -n "$rest" ]; do
        part=${rest%%,*} rest=${rest#*,}
        part=${part#"${part%%[! $TAB]*}"}
        part=${part%"${part##*[! $TAB]}"}
        if [ -n "$part" ]; then
            case $part in
                *[!a-z-]*) unknown=${unknown:-$part} ;;
                *) if has "$part" "$STEPS"; then listed="$listed${listed:+ }$part"; else unknown=${unknown:-$part}; fi ;;
            esac
        fi
    done
}

# KEY=value lines, read as text. What is not known or not allowed is a warning, said once the log has begun.
parse_settings() {
    form=auto deadline=1200 imds_wait=60 medium_wait=10 hook_timeout=300 early=no kvp=yes entropy=yes grow=no
    custom_data=save skip_setting='' warnings='' access=fail groups_setting='' shell_setting='' require_custom_data=no
    provisiondata=no
    [ ! -r "$root$config" ] || while IFS=" $TAB" read -r text || [ -n "$text" ]; do
        text=${text%"${text##*[!$TAB-\ ]}"} # from tab to blank there is the carriage return, too
        case $text in
            '' | '#'*) continue ;;
        esac
        key=${text%%=*} value=''
        case $text in
            *=*) value=${text#*=} ;;
        esac
        key=${key%"${key##*[! $TAB]}"}
        value=${value#"${value%%[! $TAB]*}"}
        take_setting
    done <"$root$config"
    form=${report_option:-$form} deadline=${deadline_option:-$deadline}
}

take_setting() {
    case $key in
        ACCESS) one_of 'fail warn off' && access=$value ;;
        GROUPS) user_names && groups_setting=$value ;;
        SHELL)
            case $value in
                *[!a-zA-Z0-9/._+-]*) not_allowed ;;
                '' | /*) shell_setting=$value ;;
                *) not_allowed ;;
            esac
            ;;
        PROVISIONDATA) one_of 'no auto' && provisiondata=$value ;;
        REQUIRE_CUSTOM_DATA) one_of 'yes no' && require_custom_data=$value ;;
        REPORT) one_of 'auto xml json none' && form=$value ;;
        DEADLINE) between 1 && deadline=$number ;;
        IMDS_WAIT) between 1 && imds_wait=$number ;;
        MEDIUM_WAIT) between 0 && medium_wait=$number ;;
        HOOK_TIMEOUT) between 1 && hook_timeout=$number ;;
        EARLY_REPORT) one_of 'yes no' && early=$value ;;
        KVP) one_of 'yes no' && kvp=$value ;;
        ENTROPY) one_of 'yes no' && entropy=$value ;;
        GROW) one_of 'yes no' && grow=$value ;;
        CUSTOM_DATA) one_of 'save run ignore' && custom_data=$value ;;
        SKIP)
            step_list "$value"
            if [ -z "$unknown" ]; then skip_setting=$listed; else not_allowed; fi
            ;;
        *) warnings="$warnings${warnings:+$NEWLINE}setting $key is not known and ignored" ;;
    esac
}

one_of() {
    case $value in
        '' | *[!a-z]*) not_allowed ;;
        *) has "$value" "$1" || not_allowed ;;
    esac
}

# value is empty, or names with commas between.
user_names() {
    IFS=,
    for name in $value; do
        user_name "$name" && [ -n "$name" ] || {
            IFS=" $TAB$NEWLINE"
            not_allowed
            return
        }
    done
    IFS=" $TAB$NEWLINE"
}

between() { number "$value" "$1" 86400 || not_allowed; }

not_allowed() {
    warnings="$warnings${warnings:+$NEWLINE}setting $key=$value is not allowed; the default holds"
    return 1
}

# ---- main ----

provision() {
    find_inputs
    if [ -z "$vm_id" ] && guid "${imds_vm_id-}"; then
        settle_vm_id "$imds_vm_id"
    fi
    make_wishes
    # only IMDS could say which VM this is
    if [ -z "$only" ] && stamped applied; then
        ! stamped reported || nothing_to_do
        return
    fi
    [ "$early" = no ] || [ -n "$silent" ] || send NotReady Provisioning 'provisioning has begun' once
    if [ -n "$dry_run" ]; then
        :
    elif ! { [ -d "$state" ] || mkdir -p "$state"; } 2>/dev/null || fixed $STATE; then
        warn "$STATE: read-only: this VM is provisioned again at each boot"
        stateless=yes
    else
        folder $STATE 0700
    fi
    for candidate in $STEPS; do
        if has "$candidate" "$skip $skip_setting" || { [ -n "$only" ] && ! has "$candidate" "$only"; }; then
            continue
        fi
        take "$candidate"
    done
    [ -n "$only$dry_run$stateless" ] || stamp applied ||
        warn "$STATE/applied cannot be written: this VM is provisioned again at each boot"
    settle
}

# This VM has its stamps.
nothing_to_do() {
    if [ "$form" = none ]; then
        say "VM $vm_id is provisioned already: nothing to do"
    else
        [ -n "$dry_run" ] || disable
        say "VM $vm_id is provisioned and reported already: nothing to do"
    fi
    exit 0
}

run_verb() {
    applied=''
    [ -n "$only" ] || ! stamped applied || applied=yes
    if [ -n "$applied" ] && { [ "$form" = none ] || stamped reported; }; then
        nothing_to_do
    fi
    silent=''
    [ "$form" != none ] || silent=REPORT=none
    [ -z "$dry_run" ] || silent=--dry-run
    [ -z "$only" ] || silent=--only
    # what an earlier run of this boot told is no word on this one
    [ -n "$silent" ] || [ ! -e "$root/run/azure-provisioning/told" ] || rm -f "$root/run/azure-provisioning/told"
    one_line "$root/etc/hostname"
    image_name=$value host=''
    if [ -n "$applied" ]; then
        say "VM $vm_id is provisioned already: reporting again"
    else
        provision
    fi
    host=${host:-$image_name}
    finish "${host:-this VM}"
}

report_verb() {
    silent='' host=''
    [ -z "$dry_run" ] || silent=--dry-run
    [ "$form" != none ] || form=auto
    if [ -z "$vm_id" ]; then
        # no DMI: as the last run found out
        one_line "$state/applied"
        ! guid "$value" || settle_vm_id "$value"
    fi
    if [ -n "$wait_for$in_progress" ] && [ -z "$silent" ] && ! stamped reported; then
        work_goes_on
        [ "$known" = up ] || failed=$known told_failed=yes
        clock
        until=$((now + deadline * 100))
    fi
    lock
    if [ -n "$told_failed" ]; then
        fail_code=0
        fail "$failed"
    fi
    if ! stamped applied; then
        say "Nothing is reported: VM ${vm_id:-unknown} is not provisioned yet"
        exit 1
    fi
    if stamped reported; then
        say "VM $vm_id is provisioned and reported already: nothing to do"
        exit 0
    fi
    one_line "$root/etc/hostname"
    finish "${value:-this VM}"
}

# Tell the platform every S seconds that work goes on, until the deadline, or until systemd knows how it went with the
# unit. Sets known to that: up, or why it is not. With --in-progress: ends.
work_goes_on() {
    known='' period=${every:-60} detail='still at work'
    while :; do
        clock
        left=$(((until - now) / 100))
        [ $left -gt 0 ] || left=0
        if [ -n "$wait_for" ]; then
            detail="waiting for $wait_for" seconds=$period
            [ "$left" -ge "$period" ] || seconds=$left
            known=$(/bin/sh "$root/usr/lib/azure-provisioning/await-unit" "$wait_for" "$seconds") ||
                known="systemd cannot be asked of $wait_for"
            [ -n "$known" ] || [ "$left" != 0 ] || known="$wait_for is not up in time"
            [ -z "$known" ] || return 0
        fi
        send NotReady Provisioning "$detail" once
        if [ -n "$in_progress" ]; then
            [ -n "$every" ] && [ "$left" -ge "$period" ] || break
            sleep "$period"
        fi
    done
    if [ -n "$refused" ]; then
        say "Not reported: $refused"
        exit 2
    fi
    say 'Reported that work goes on'
    exit 0
}

# One run at a time, where there is flock. The lock ends with the process; hooks do not inherit it.
lock() {
    [ -z "$dry_run" ] || return 0
    [ -n "$run_made" ] || folder /run/azure-provisioning 0700
    umask 077
    if ! { true 9>>"$root/run/azure-provisioning/lock"; } 2>/dev/null; then
        umask 022
        warn 'no lock: /run is not writable'
        return
    fi
    exec 9>>"$root/run/azure-provisioning/lock"
    umask 022
    # mksh keeps what exec opened from what it starts, unless it is told to pass it on
    ! have flock || flock 9 9>&9
}

shell_name() {
    if [ -n "${BASH_VERSION-}" ]; then
        shell_name="bash $BASH_VERSION"
    else
        shell_name=${KSH_VERSION:-sh}
    fi
}

# Sets me, the user id: from the kernel, where it tells.
who_runs() {
    me=''
    while read -r name me _; do
        [ "$name" != Uid: ] || return 0
    done 2>/dev/null </proc/self/status
    me=$(id -u)
}

act() {
    who_runs
    if [ -z "$root" ] && [ "$me" != 0 ]; then
        say 'azure-provisioning must run as root; --root DIR acts on a tree'
        exit 77
    fi
    [ -d "$root/" ] || usage "provision.sh: --root $root is no folder"
    one_line "$root/sys/class/dmi/id/chassis_asset_tag"
    if [ "$platform" = auto ] && [ "$value" != $ASSET_TAG ]; then
        say "Not on Azure (chassis asset tag: ${value:-none}): nothing to do"
        exit 0
    fi
    parse_settings
    find_vm_id
    shell_name
    say "$AGENT $VERSION ($shell_name): VM ${vm_id:-unknown}, generation $generation"
    [ -z "$warnings" ] || line "$warnings" | while IFS= read -r text; do warn "$text"; done
    trap 'rm -rf "$work" ${left_behind:+"$left_behind"} ${stamp_ready:+"$state/.$stamp_ready.azp-tmp"}' EXIT
    trap 'exit 143' TERM INT HUP
    make_work
    : >"$work/input"
    choose_client || {
        say 'azure-provisioning needs curl, wget with --header, or bash'
        exit 2
    }
    until=$((began + deadline * 100))
    [ "$verb" = report ] || lock # which locks when it has waited
    "${verb}_verb"
}

timeout_form='' timeout_guessed='' left_behind='' stamp_ready='' unowned='' goal_too='' goal_from='' whole_keys='' around_says='' plugins='' nosuid='' sudo_mode='' homes_open=''
forget
step='' silent='' dirty='' failures=0 stateless='' home_was='' written='' interfaces='' medium='' refused_devices='' fail_code=1 work=/nonexistent
STATE=/var/lib/azure-provisioning HOOKS=/etc/azure-provisioning.d
clock
began=$now
for word in "$@"; do
    case $word in
        --version)
            line "$AGENT $VERSION"
            exit 0
            ;;
        --steps)
            for step in $STEPS; do line "$step"; done
            exit 0
            ;;
        --help)
            line "$USAGE"
            exit 0
            ;;
    esac
done
parse_options "$@"
case $root in
    /) root='' ;;
    '' | /*) root=${root%/} ;;
    *) root=$PWD/${root%/} ;; # programs that take the tree's place want it whole
esac
state=$root$STATE
act
