#!/bin/sh
# shellcheck disable=SC2015,SC2016,SC2295 # awk programs in quotes; "a && b || c" where b cannot fail; blanks in patterns
# Provision this VM on Azure and report it ready: the program for images without Python. docs/guest.md describes it;
# provision.py is the same in Python, and one suite of contract tests holds both to every word.
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

VERSION=0.1.0
AGENT=azure-provisioning
ASSET_TAG=7783-7084-3265-9085-8269-3286-77
STEPS='hostname user sudo keys password sshd host-keys custom-data entropy grow hooks ovf-copy'
BODY_LIMIT=1048576
NEWLINE='
'
TAB='	'
CR=$(echo r | tr r '\015')

USAGE='usage: provision.sh [run] [OPTION...]                 apply what the owner asked for, then report
       provision.sh report [--failed TEXT] [OPTION...] only report: Ready, or that provisioning failed and why
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
else
    line() { printf '%s\n' "$*"; }
fi
say() { line "$*" >&2; }
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
    case $lowered in
        *[A-Z]*) lowered=$(line "$1" | tr '[:upper:]' '[:lower:]') ;;
    esac
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
    [ -n "${timeout_form-}" ] || find_timeout
    clock
    deadline_at=$((now + $1 * 100 - 5))
    case $timeout_form in
        new) timeout -k 5 "$@" ;;
        old) timeout -t "$@" ;;
        none) { watched "$@"; } 7<&0 ;;
    esac
    ended=$?
    case $ended in
        124 | 137 | 143)
            clock
            [ "$now" -lt $deadline_at ] || timed_out=yes
            ;;
    esac
    return $ended
}

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
# `settle`, before anything is said to be done.
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
    [ $written = 0 ] && { [ -z "${3-}" ] || chown "$3" "$temporary"; } &&
        { has "$2" '0600 0644 0440 0400' || chmod "$2" "$temporary"; } && mv -f "$temporary" "$1" || {
        rm -f "$temporary"
        return 1
    }
    touched "${1%/*}"
}

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
    if [ -f "$root$1" ] && [ ! -h "$root$1" ] && cmp -s "$work/new" "$root$1" && [ "$(stat -c 0%a "$root$1")" = "$2" ]; then
        return 0
    fi
    changed=yes
    if [ -n "$dry_run" ]; then
        say "would write $1"
    else
        store "$root$1" "$2" <"$work/new" || step_failed "$1: cannot be written"
    fi
}

# folder PATH MODE: made where missing, with that mode.
folder() {
    [ -z "$dry_run" ] || return 0
    if [ ! -d "$root$1" ]; then
        # shellcheck disable=SC2174 # parents are ordinary folders
        mkdir -p -m "$2" "$root$1" 2>"$work/trouble" || step_failed "$(cat "$work/trouble")"
        touched "$root${1%/*}/"
        return
    fi
    [ "$(stat -c 0%a "$root$1")" = "$2" ] || chmod "$2" "$root$1"
}

# ---- programs ----

# try WORD...: run a program with what is in $work/input as its input; its output goes to $work/output. Sets error.
try() {
    if [ -n "$dry_run" ]; then
        say "would run $*"
        return 0
    fi
    limited 120 "$@" <"$work/input" >"$work/output" 2>&1 && return 0
    if [ -n "$timed_out" ]; then
        error="$1: ran too long"
    else
        error="$1: exit $ended: $(grep -v '^[[:space:]]*$' "$work/output" | tail -n 1)"
        error=${error%: }
    fi
    return $ended
}

# The same, for programs without which the step has failed.
run() { try "$@" || step_failed "$error"; }

step_failed() { fail "failure in step $step" "error=$1"; }

# Everything between two steps lives in a folder of ours, in memory where there is such a place.
make_work() {
    for place in "${TMPDIR:-/run}" /run /dev/shm /tmp; do
        if [ -d "$place" ] && [ -w "$place" ]; then
            work=$place/.azp-$$
            (umask 077 && mkdir "$work") 2>/dev/null && return 0
        fi
    done
    say 'no place for temporary files'
    exit 2
}

# ---- HTTP ----

# Which client there is, by what it can do: headers, a body, no proxy. The first that fits. Wget2 is none of them: it
# shows no headers and has other options.
choose_client() {
    if have curl; then
        client=curl
    elif wget --version 2>/dev/null | head -n 1 | grep -q '^GNU Wget [0-9]'; then
        client=gnu_wget
    elif have wget && sends_headers wget; then
        client=busybox_wget wget=wget
    elif have busybox && sends_headers busybox wget; then
        client=busybox_wget wget='busybox wget'
    elif have bash; then
        client=bash_tcp
    else
        return 1
    fi
}

# sends_headers WORD...: it is a busybox wget that was built with long options.
sends_headers() {
    case $("$@" --help 2>&1) in
        *BusyBox*--header*) return 0 ;;
    esac
    return 1
}

# http METHOD URL HEADER... : the body of a POST is $work/request, the answer's body goes to $work/body.
# Sets status (empty when no whole answer came), phrase, retry_after, trouble.
http() {
    method=$1 url=$2 status='' phrase='' retry_after='' trouble=''
    shift 2
    [ ! -e "$work/failed" ] || rm -f "$work/failed"
    : >"$work/head"
    : >"$work/body"
    : >"$work/trouble"
    "http_$client" "$@"
    read_head
    if [ -e "$work/failed" ]; then
        read -r failed <"$work/failed"
        # GNU wget says 8 (6 for 401) and busybox 1 for an answer that is an error: an answer all the same.
        case $client,$failed,$status in
            gnu_wget,[68],?* | busybox_wget,1,[3-5]*) ;;
            *)
                status=''
                IFS= read -r trouble <"$work/trouble"
                trouble=${trouble:-$client ended with $failed}
                ;;
        esac
    elif [ -z "$status" ]; then
        trouble='no HTTP answer'
    fi
    if [ "$(wc -c <"$work/body")" -gt "$BODY_LIMIT" ]; then
        status='' trouble="the answer has more than $BODY_LIMIT bytes"
    fi
}

read_head() {
    while IFS=" $TAB" read -r name value rest; do
        case $name in
            HTTP/1.*) status=${value%"$CR"} phrase=${rest%"$CR"} retry_after='' ;;
            [Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]:) retry_after=${value%"$CR"} ;;
        esac
    done <"$work/head"
    case $status in
        [1-5][0-9][0-9]) ;;
        *) status='' ;;
    esac
}

# The headers as options of curl and of both wgets differ only in the name of the option.
http_curl() {
    for header in "$@"; do
        shift
        set -- "$@" -H "$header"
    done
    [ "$method" = GET ] || set -- "$@" --data-binary "@$work/request"
    { curl -q -sS --noproxy '*' --connect-timeout 2 -m 10 -X "$method" "$@" -D "$work/head" "$url" \
        2>"$work/trouble" || echo $? >"$work/failed"; } | head -c $((BODY_LIMIT + 1)) >"$work/body"
}

http_gnu_wget() {
    for header in "$@"; do
        shift
        set -- "$@" "--header=$header"
    done
    [ "$method" = GET ] || set -- "$@" --method="$method" --body-file="$work/request"
    { limited 12 wget -q -S --no-config --no-proxy --connect-timeout=2 --read-timeout=10 -t 1 --max-redirect=0 "$@" \
        -O - "$url" 2>"$work/head" || echo $? >"$work/failed"; } | head -c $((BODY_LIMIT + 1)) >"$work/body"
    grep -v '^ ' "$work/head" >"$work/trouble"
}

# Busybox: no -T, with which 1.35 of Debian crashes; the body as a word, since --post-file came only with 1.34 (it holds
# no secret); the content type must be a header of ours or it sends its own.
http_busybox_wget() {
    for header in "$@"; do
        shift
        set -- "$@" --header "$header"
    done
    [ "$method" = GET ] || set -- "$@" --post-data "$(cat "$work/request")"
    # shellcheck disable=SC2086 # one word or two
    { limited 12 $wget -q -S -Y off "$@" -O - "$url" 2>"$work/head" || echo $? >"$work/failed"; } |
        head -c $((BODY_LIMIT + 1)) >"$work/body"
    grep -v '^ ' "$work/head" >"$work/trouble"
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
}'

# ---- documents ----

# Both readers call found(PATH, VALUE) for each value; what is wanted goes out as one line each, NAME and VALUE, with
# control characters turned into blanks: no name may hold either, so each fails its own check.
SHARED='
function bad() { wrong = 1; exit 1 }
function clean(s) { gsub(/[\001-\037\177]|\302[\200-\237]/, " ", s); return s }
function utf8(n) {
    if (n < 32) return n == 10 ? "\n" : n == 13 ? "\r" : n == 9 ? "\t" : "?"
    if (n < 128) return sprintf("%c", n)
    if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    if (n < 65536) return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
    return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, 128 + int(n / 64) % 64, 128 + n % 64)
}
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
    if (substr(name, 1, 2) == "#x") return utf8(number(substr(name, 3), 16))
    if (substr(name, 1, 1) == "#") return utf8(number(substr(name, 2), 10))
    bad()
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
    else if (mode == "" && s ~ /^\?/) { mode = "?>"; s = substr(s, 2) }
    else if (mode == "" && s ~ /^!/) bad()
    else if (mode == "" && s ~ /^\//) { stop(substr(s, 2)); return }
    else if (mode == "") { start(s); return }
    if (!until(mode, s)) return
    if (mode == "]]>") content[depth] = content[depth] held
    mode = held = ""
    characters(after)
}
BEGIN {
    RS = "<"
    known["amp"] = "&"; known["lt"] = "<"; known["gt"] = ">"; known["quot"] = "\""; known["apos"] = "\047"
    short["http://schemas.dmtf.org/ovf/environment/1"] = "o:"
    short["http://schemas.microsoft.com/windowsazure"] = "w:"
}
NR == 1 { sub(/^\357\273\277/, ""); if ($0 !~ /^[ \t\r\n]*$/) bad(); next }
{ markup($0) }
END { if (wrong || depth || !done || mode != "") exit 1 }
'

# Ssh keys: one value may hold several, and old portals broke keys in their middle. Each becomes a line of
# authorized_keys, or the reason why not. A body begins with the length and the name of its type (RFC 4253, 6.6).
KEYS='
function trim(s) { sub(/^[ \t\r\n]+/, "", s); sub(/[ \t\r\n]+$/, "", s); return s }
function keys(v, number,   lines, n, i, key, some) {
    gsub(/\r/, "\n", v)
    n = split(v, lines, "\n")
    for (i = 1; i <= n; i++) {
        if (i > 1 && begins(lines[i])) { some += check(key, number); key = "" }
        key = key lines[i]
    }
    some += check(key, number)
    if (!some) print "bad_key", "key", number, "is empty and was skipped"
}
function begins(s) { sub(/ .*/, "", s); return s in start_of }
function check(key, number,   kind, body, comment, least) {
    key = trim(key)
    if (key == "") return 0
    kind = body = key
    sub(/[ \t].*/, "", kind)
    body = trim(substr(key, length(kind) + 1))
    comment = body
    sub(/[ \t].*/, "", body)
    comment = clean(trim(substr(comment, length(body) + 1)))
    if (length(comment) > 256) comment = substr(comment, 1, 256) "..."
    least = "bad_key key " number " was skipped: "
    if (index(key, "BEGIN ")) print least "it is a certificate, not an ssh key"
    else if (!(kind in start_of) || body == "") print least "it does not begin with a known key type"
    else if (body !~ "^[A-Za-z0-9+/]+=?=?$" || length(body) % 4) print least "its body is not base64"
    else if (index(body, start_of[kind]) != 1 || (length(body) - 2) * 3 / 4 < length(kind) + 36)
        print least "its body is not a key of that type, or is cut"
    else if (!known_key[kind, body]++) print "key", kind, body (comment == "" ? "" : " " comment)
    return 1
}
BEGIN {
    start_of["ssh-rsa"] = "AAAAB3NzaC1yc2"
    start_of["ssh-ed25519"] = "AAAAC3NzaC1lZDI1NTE5"
    start_of["ecdsa-sha2-nistp256"] = "AAAAE2VjZHNhLXNoYTItbmlzdHAyNT"
    start_of["ecdsa-sha2-nistp384"] = "AAAAE2VjZHNhLXNoYTItbmlzdHAzOD"
    start_of["ecdsa-sha2-nistp521"] = "AAAAE2VjZHNhLXNoYTItbmlzdHA1Mj"
    start_of["sk-ssh-ed25519@openssh.com"] = "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t"
    start_of["sk-ecdsa-sha2-nistp256@openssh.com"] = "AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb2"
}
'

# What is wanted of each document. All primitives of IMDS are texts, but for a few that may be true or false.
FOUND_IMDS='
function found(p, v, kind) {
    if (index(p, "compute.publicKeys.") == 1) given = 1
    if (p in wanted && (kind == "text" || p in policy)) print wanted[p], clean(trim(v))
    else if (p ~ /^compute\.publicKeys\.[0-9]+\.keyData$/ && kind == "text") {
        number = p
        gsub(/[^0-9]/, "", number)
        keys(v, number)
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
    policy["compute.osProfile.disablePasswordAuthentication"] = policy["extended.compute.hasCustomData"] = 1
}
END {
    if (given) print "given yes"
    if (opened["compute"] != "{") exit 1
}
'

FOUND_OVF='
function found(p, v,   name) {
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
    key_number = 0
}
END {
    some = key_number
    for (name in seen) some = 1
    if (!some) exit 1
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
    awk '$0 !~ "^[A-Za-z0-9+/]*=?=?$" || length($0) % 4 { bad = 1 } END { exit bad }' "$1.base64" || return 1
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
    if [ -n "$vm_id" ]; then
        line "$vm_id$NEWLINE$other_id"
    else
        line unknown
    fi | store "$state/$1" 0600 && settle
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
    awk -v work="$work" "$SHARED$KEYS$READ_XML$FOUND_OVF" "$work/ovf-env.xml" >"$work/ovf" 2>"$work/trouble" ||
        fail 'error parsing ovf-env.xml' 'error=it is malformed, or has a DTD'
    while read -r name value; do
        case $name in
            host) ovf_host=$value ;;
            user) ovf_user=$value ;;
            no_password) ovf_no_password=$value ;;
            password) ovf_password=$value ;;
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
            401,* | 403,*) refused=yes ;;
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
        [ -n "$medium" ] || find_medium || :
    done
}

earlier() {
    [ "$limit" -le "$1" ] || limit=$1
}

# One try. Sets imds to yes, or problem, and reason for the report.
ask_imds() {
    http GET "$imds_base/metadata/instance?$api" 'Metadata: true'
    case $status in
        200)
            problem='200, but not the document it should be' reason='error parsing IMDS metadata'
            read_imds || return 0
            imds=yes
            say "IMDS: 200 $phrase, $(($(wc -c <"$work/body"))) bytes"
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
    rm -f "$work/user-data"
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
            given) imds_given=$value ;;
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
    find_medium || :
    find_imds
    [ -n "$medium" ] || [ $imds = yes ] || fail "$reason" "error=$problem" "url=$imds_base"
    [ -n "$medium" ] || await_medium || :
    if [ -n "$medium" ]; then
        say "medium: $medium, ovf-env.xml of $medium_size bytes"
    else
        say 'medium: none'
    fi
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

# Sets wireserver: the option, else option 245 of a DHCP lease, else the address that is documented.
find_wireserver() {
    wireserver=$wireserver_wish
    [ -z "$wireserver" ] || return 0
    for folder in $LEASES; do
        set +f
        case $folder in
            */leases | */devices | *udhcpc) set -- "$root$folder"/* ;;
            *) set -- "$root$folder"/*lease* ;;
        esac
        set -f
        for lease in "$@"; do
            [ -f "$lease" ] || continue
            option_245 "$lease"
            [ -z "$address" ] || wireserver=http://$address
        done
        [ -z "$wireserver" ] || return 0
    done
    wireserver=http://168.63.129.16
}

# option_245 FILE: sets address, "" where the lease does not tell. dhcpcd keeps the DHCP packet itself (RFC 2131: magic
# cookie at byte 236), the others write lines; the last one of a file wins.
option_245() {
    case $(dd if="$1" bs=1 skip=236 count=4 2>/dev/null | od -An -tx1) in
        *63*82*53*63*) address=$(od -An -v -tu1 -j 240 "$1" | awk "$PACKET_245") ;;
        *) address=$(awk "$LEASE_245" "$1") ;;
    esac
}

PACKET_245='
{ for (i = 1; i <= NF; i++) byte[n++] = $i }
END {
    for (at = 0; at + 1 < n && byte[at] != 255; at += byte[at] ? 2 + byte[at + 1] : 1)
        if (byte[at] == 245 && byte[at + 1] == 4 && byte[at + 2] > 0 && byte[at + 2] < 224) {
            print byte[at + 2] "." byte[at + 3] "." byte[at + 4] "." byte[at + 5]
            exit
        }
}
'

# networkd and NetworkManager: OPTION_245=a83f8110; scripts of udhcpc: opt245=a83f8110; dhclient: option unknown-245
# a8:3f:81:10; or four characters in quotes, odd ones as \ooo; or a dotted address.
LEASE_245='
BEGIN {
    n = split("OPTION_245= opt245= unknown-245@ private_245= option-245@", marks, " ")
    for (i = 32; i < 256; i++) code[sprintf("%c", i)] = i
}
{
    gsub(/;/, " ")
    for (i = 1; i <= n; i++) {
        mark = marks[i]
        sub(/@/, " ", mark)
        if (at = index($0, mark)) { found = dotted(trim(substr($0, at + length(mark)))); if (found != "") last = found }
    }
}
END { if (last != "") print last }
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
    } else if (s ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) count = split(s, part, ".")
    else if (s ~ /^[0-9a-fA-F:]+$/) {
        if (!index(s, ":")) gsub(/../, "&:", s)
        sub(/:$/, "", s)
        count = split(s, part, ":")
        for (i = 1; i <= count; i++) {
            if (part[i] !~ /^[0-9a-fA-F][0-9a-fA-F]?$/) return ""
            part[i] = hex(part[i])
        }
    }
    if (count != 4 || part[1] < 1 || part[1] > 223) return ""
    for (i = 2; i <= 4; i++) if (part[i] > 255) return ""
    return part[1] + 0 "." part[2] + 0 "." part[3] + 0 "." part[4] + 0
}
'

# ---- wishes: what is to be done, from both inputs, each value checked ----

# The host name: IMDS's computer name, else the medium's, but the VM's name before it where that can be one. Sets host.
wish_host() {
    host=${imds_computer_name-}
    if [ -n "$host" ]; then
        host_name "$host" ||
            fail 'invalid IMDS metadata for key=compute.osProfile.computerName' "value=$host"
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
    user=${imds_user-}
    if [ -n "$user" ]; then
        user_name "$user" || fail 'invalid IMDS metadata for key=compute.osProfile.adminUsername' "value=$user"
    else
        user=${ovf_user-}
        [ -z "$user" ] || user_name "$user" ||
            fail 'unexpected metadata parsing ovf-env.xml: UserName' "value=$user"
    fi
}

user_name() {
    case $1 in
        [!a-zA-Z_]* | *[!a-zA-Z0-9_.-]*) return 1 ;;
    esac
    [ ${#1} -le 32 ]
}

# Whether ssh may take passwords: sets password_login to yes, no, or nothing where neither input says so.
wish_policy() {
    password_login=''
    for stated in "${imds_no_password-}" "${ovf_no_password-}"; do
        lower "$stated"
        case $lowered in
            true) password_login=no ;;
            false) password_login=yes ;;
            *) continue ;;
        esac
        return
    done
}

# The keys, those of IMDS where it lists any. One that cannot be used is left out by its number, the others are used.
wish_keys() {
    : >"$work/keys"
    source=imds from=IMDS
    [ "${imds_given-}" = yes ] || source=ovf from='the medium'
    [ -f "$work/$source" ] || return 0
    while read -r name value; do
        case $name in
            key) line "$value" >>"$work/keys" ;;
            bad_key)
                number=${value#key }
                warn "key ${number%% *} from $from ${number#* }"
                ;;
        esac
    done <"$work/$source"
}

# wish_data NAME WHAT: what came as base64 becomes $work/NAME.decoded; what is no base64 is kept as it came.
wish_data() {
    [ -s "$work/$1" ] || return 0
    decode "$work/$1" "$work/$1.decoded" && return 0
    warn "$2 is not base64 and is kept as it came"
    cat "$work/$1" >"$work/$1.decoded"
}

make_wishes() {
    wish_host
    wish_user
    wish_policy
    wish_keys
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
        put /etc/hostname 0644 <"$work/text"
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
    ! grep -q myhostname "$root/etc/nsswitch.conf" 2>/dev/null || return 0
    hosts=$root/etc/hosts
    [ -s "$hosts" ] || { line '127.0.0.1 localhost' >"$work/hosts" && hosts=$work/hosts; }
    awk -v name="$host" '
        BEGIN { alias = name; sub(/\..*/, "", alias); ours = "127.0.1.1 " name (alias == name ? "" : " " alias) }
        {
            words = $0
            sub(/#.*/, "", words)
            n = split(words, word)
            for (i = 2; i <= n; i++) if (tolower(word[i]) == tolower(name)) known = 1
            if (n && word[1] == "127.0.1.1" && !done++) $0 = ours
            print
        }
        END { if (!done) print ours; exit known }' "$hosts" >"$work/hosts.new" || return 0
    put /etc/hosts 0644 <"$work/hosts.new"
}

# account NAME: sets uid, gid and home, from the tree's own file or, on this machine, from whatever else NSS knows.
account() {
    uid=''
    if [ -r "$root/etc/passwd" ]; then
        while IFS=: read -r login _ uid gid _ home shell || [ -n "$login" ]; do
            [ "$login" != "$1" ] || return 0
        done <"$root/etc/passwd"
    fi
    uid=''
    [ -z "$root" ] && have getent && getent passwd "$1" >"$work/account" || return 1
    IFS=: read -r login _ uid gid _ home shell <"$work/account"
}

# Sets groups, those that exist of what an administrator should be in; lacking, those of them without the user; and
# own_group, yes when there is a group of the user's name.
find_groups() {
    groups='' lacking='' own_group=''
    for wanted in sudo wheel adm systemd-journal; do
        while IFS=: read -r group _ _ members || [ -n "$group" ]; do
            [ "$group" != "$user" ] || own_group=yes
            [ "$group" = "$wanted" ] || continue
            groups=$groups${groups:+,}$wanted
            case ,$members, in
                *",$user,"*) ;;
                *) lacking=$lacking${lacking:+,}$wanted ;;
            esac
        done <"$root/etc/group"
    done
}

step_user() {
    if [ -z "$user" ]; then
        did='no user name: users and keys are skipped'
        return
    fi
    [ -r "$root/etc/group" ] || step_failed '/etc/group is not there'
    find_groups
    if account "$user"; then
        did=exists
        [ -z "$lacking" ] || join_groups "$lacking"
    else
        add_user
        did=created
        account "$user" || [ -n "$dry_run" ] || step_failed 'the account is not there after useradd'
    fi
    # useradd was interrupted, or the image removed it
    if [ -n "$uid" ] && [ ! -e "$root$home" ]; then
        make_home
        did="$did, home made anew"
    fi
    did="$user $did, uid ${uid:-?}, groups ${groups:-none}"
}

add_user() {
    shell=/bin/sh
    [ ! -e "$root/bin/bash" ] || shell=/bin/bash
    if have useradd; then
        set -- useradd ${root:+--prefix "$root"} --create-home --shell $shell
        [ -z "$groups" ] || set -- "$@" --groups "$groups"
        [ -z "$own_group" ] || set -- "$@" --gid "$user"
        try "$@" "$user" && return 0
        remove_stale_locks || step_failed "$error"
        warn "$error; trying again"
        run "$@" "$user"
    elif have adduser; then
        # busybox: its own options, and no way to name a tree but to go there
        set -- adduser -D -s $shell
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

# After a power cut the account tools' lock files stay, and name processes of another boot.
remove_stale_locks() {
    removed=1
    for name in passwd shadow group gshadow subuid subgid; do
        lock=$root/etc/$name.lock
        [ -e "$lock" ] || [ -h "$lock" ] || continue
        # /proc is made anew at each boot
        if [ -z "$(find "$lock" -newer /proc/1/cmdline 2>/dev/null)" ] && older_than_boot "$lock"; then
            rm -f "$lock"
            say "user: /etc/$name.lock is older than this boot and was removed"
            removed=0
        fi
    done
    return $removed
}

older_than_boot() {
    clock
    [ "$(stat -c %Y "$1")" -lt $(($(date +%s) - now / 100)) ]
}

make_home() {
    if [ -n "$dry_run" ]; then
        say "would make $home"
        return
    fi
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
        # a word in capitals would be an alias
        case $user in
            *[A-Z]*) quoted=\"$user\" ;;
            *) quoted=$user ;;
        esac
        [ -d "$root/etc/sudoers.d" ] || folder /etc/sudoers.d 0750
        put_sudoers "# Written by azure-provisioning$NEWLINE$quoted ALL=(ALL:ALL) NOPASSWD: ALL"
        did="$user may sudo"
    elif tree_has doas; then
        if [ -d "$root/etc/doas.d" ]; then
            line "permit nopass $user" >"$work/text"
            put /etc/doas.d/90-azure-provisioning.conf 0400 <"$work/text"
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

# Checked before it is in force: one bad line in sudoers would shut everybody out.
put_sudoers() {
    line "$1" >"$work/sudoers"
    if [ -z "$dry_run" ] && have visudo && ! cmp -s "$work/sudoers" "$root/etc/sudoers.d/90-azure-provisioning"; then
        run visudo -c -q -f "$work/sudoers"
    fi
    put /etc/sudoers.d/90-azure-provisioning 0440 <"$work/sudoers"
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

# sshd_lines FILE DEPTH: all lines that hold for everybody, in sshd's order; an Include is replaced by what it includes. A
# Match block ends with its file, not with the file that includes it.
sshd_lines() {
    [ -r "$1" ] && [ "$2" -lt 16 ] || return 0
    while read -r text || [ -n "$text" ]; do
        case $text in
            [Ii][Nn][Cc][Ll][Uu][Dd][Ee][\ =\"$TAB]*)
                text=${text#???????}
                for pattern in $(line "$text" | tr '="' '  '); do
                    case $pattern in
                        /*) ;;
                        *) pattern=/etc/ssh/$pattern ;;
                    esac
                    set +f
                    for included in "$root"$pattern; do
                        set -f
                        sshd_lines "$included" $(($2 + 1))
                    done
                    set -f
                done
                ;;
            [Mm][Aa][Tt][Cc][Hh][\ =\"$TAB]*) return ;;
            *) line "$text" ;;
        esac
    done <"$1"
}

# sshd_setting KEYWORD: sets value to what sshd takes: the first one.
sshd_setting() {
    value=$(sshd_lines "$root/etc/ssh/sshd_config" 0 | awk -v want="$1" '
        { text = $0; sub(/^[ \t]+/, "", text) }
        text ~ /^#/ || text == "" { next }
        {
            name = text
            sub(/[ \t=].*/, "", name)
            value = substr(text, length(name) + 1)
            gsub(/^[ \t=]+|[ \t\r]+$/, "", value)
            gsub(/^"+|"+$/, "", value)
            if (tolower(name) == tolower(want)) { print value; exit }
        }')
}

# sshd_config takes in sshd_config.d before its first Match block.
includes_drop_ins() {
    awk '
        { text = $0; sub(/^[ \t]+/, "", text); gsub(/[="]/, " ", text); n = split(text, word); word[1] = tolower(word[1]) }
        word[1] == "match" { exit }
        word[1] == "include" {
            for (i = 2; i <= n; i++) {
                sub(/^\/etc\/ssh\//, "", word[i])
                if (word[i] == "sshd_config.d/*.conf" || word[i] == "sshd_config.d/*") found = 1
            }
            if (found) exit
        }
        END { exit !found }' "$root/etc/ssh/sshd_config"
}

step_keys() {
    if [ -z "$user" ]; then
        did='no user name: skipped'
        return
    fi
    key_count=$(($(wc -l <"$work/keys")))
    if [ $key_count = 0 ]; then
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
    keys_path
    added=0
    add_keys
    if [ $added != 0 ] && [ -z "$root" ] && [ -e /sys/fs/selinux/enforce ] && have restorecon; then
        run restorecon -F -R "${keys_path%/*}"
    fi
    did="$keys_path has $key_count key(s), $added added"
}

# Where sshd looks: the first AuthorizedKeysFile with %h, %u, %U and %% filled in, else its default. Sets keys_path.
keys_path() {
    sshd_setting AuthorizedKeysFile
    pattern=${value%%[ $TAB]*} keys_path=''
    lower "$pattern"
    case $lowered in
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
    base=${home%/}
    case $keys_path in
        "$base"/*) rest=${keys_path#"$base"/} ;;
        *)
            base=${keys_path%/*} rest=${keys_path##*/}
            folder "$base" 0755
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

own_folder() {
    [ -z "$dry_run" ] || return 0
    [ -d "$1" ] || { (umask 077 && mkdir "$1") && touched "${1%/*}"; } || step_failed "${1#"$root"} cannot be made"
    [ "$me" != 0 ] || [ "$(stat -c %u:%g "$1")" = "$uid:$gid" ] || chown "$uid:$gid" "$1"
    [ "$(stat -c %a "$1")" = 700 ] || chmod 0700 "$1"
}

# What is there stays, and a key that is there in any form is not repeated.
merge_keys() {
    existing=$1
    [ -f "$existing" ] || existing=/dev/null
    awk -v existing="$existing" '
        BEGIN {
            while ((getline text <existing) > 0) {
                n = split(text, word)
                for (i = 1; i < n; i++) present[word[i], word[i + 1]] = 1
            }
        }
        !(($1, $2) in present) { print }' "$work/keys" >"$work/new-keys"
    added=$(($(wc -l <"$work/new-keys")))
    [ $added != 0 ] || [ ! -e "$1" ] || return 0
    if [ -n "$dry_run" ]; then
        say "would write $keys_path"
        return
    fi
    owner=''
    [ "$me" != 0 ] || owner=$uid:$gid
    {
        cat "$existing"
        [ -z "$(tail -c 1 "$existing")" ] || line
        cat "$work/new-keys"
    } >"$work/all-keys"
    store "$1" 0600 "$owner" <"$work/all-keys" || step_failed "$keys_path cannot be written"
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
    shadow_field "$user" || {
        did="$user has no entry in /etc/shadow"
        return
    }
    # sshd without PAM refuses keys, too, for an account that is locked with "!"
    without_pam=''
    if [ -e "$root/etc/ssh/sshd_config" ]; then
        sshd_setting UsePAM
        lower "$value"
        [ "$lowered" = yes ] || without_pam=yes
    fi
    case $field,$without_pam in
        \** | !*,)
            did="$user is locked for passwords"
            return
            ;;
    esac
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

# shadow_field NAME: sets field to its password field.
shadow_field() {
    [ -r "$root/etc/shadow" ] || return 1
    while IFS=: read -r login field _ || [ -n "$login" ]; do
        [ "$login" != "$1" ] || return 0
    done <"$root/etc/shadow"
    return 1
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
    if [ ! -e "$root/etc/ssh/sshd_config" ]; then
        did='no sshd: skipped'
        return
    fi
    wanted=${password_login:-no}
    sshd_setting PasswordAuthentication
    lower "$value"
    if [ "$lowered" = "$wanted" ]; then
        did="PasswordAuthentication is $wanted already"
        return
    fi
    if includes_drop_ins; then
        sshd_file=$SSHD_DROP_IN
        folder /etc/ssh/sshd_config.d 0755
        line "# Written by azure-provisioning: the password policy that the platform states for this VM.
# sshd takes the first value that it reads, so this file sorts first.
PasswordAuthentication $wanted" >"$work/sshd"
    else
        sshd_file=/etc/ssh/sshd_config
        { marked "PasswordAuthentication $wanted"; unmarked "$root$sshd_file"; } >"$work/sshd"
    fi
    write_sshd_checked
    if [ -z "$dry_run" ]; then
        sshd_setting PasswordAuthentication
        lower "$value"
        [ "$lowered" = "$wanted" ] ||
            warn "another file says PasswordAuthentication before $sshd_file does: passwords stay as the image has them"
        reload_sshd
    fi
    did="PasswordAuthentication $wanted in $sshd_file"
}

# Undone when sshd refuses it, unless sshd refused what was there before as well.
write_sshd_checked() {
    rm -f "$work/before"
    [ ! -f "$root$sshd_file" ] || cat "$root$sshd_file" >"$work/before"
    put "$sshd_file" 0644 <"$work/sshd"
    sshd_accepts && return 0
    complaint=$error
    if [ -f "$work/before" ]; then
        put "$sshd_file" 0644 <"$work/before"
    else
        rm -f "$root$sshd_file"
    fi
    ! sshd_accepts || step_failed "$complaint"
    warn "$complaint (it said so before as well)"
    put "$sshd_file" 0644 <"$work/sshd"
}

# sshd checks nothing without its folder in /run, which its service may make only later.
sshd_accepts() {
    sshd=$(command -v sshd) && [ -z "$dry_run" ] || return 0
    [ -n "$root" ] || folder /run/sshd 0755
    try "$sshd" -t ${root:+-f "$root/etc/ssh/sshd_config"}
}

reload_sshd() {
    [ -z "$root" ] || return 0
    one_line /run/sshd.pid
    case $value in
        '' | 1 | *[!0-9]*) return 0 ;;
    esac
    pid=$value
    one_line "/proc/$pid/comm"
    [ "$value" = sshd ] || return 0
    kill -HUP "$pid" && say 'sshd: reloaded'
}

step_host_keys() {
    if [ ! -d "$root/etc/ssh" ] || { ! tree_has sshd && ! have ssh-keygen; }; then
        did='no sshd: skipped'
        return
    fi
    missing=''
    for kind in rsa ecdsa ed25519; do
        [ -e "$root/etc/ssh/ssh_host_${kind}_key" ] || missing="$missing${missing:+, }$kind"
    done
    own_unit=azure-provisioning-hostkeys.service
    if [ -z "$missing" ]; then
        did='all there'
    elif [ -e "$root/run/systemd/system" ] && [ -e "$root/etc/systemd/system/multi-user.target.wants/$own_unit" ]; then
        did="left to $own_unit"
    elif ! have ssh-keygen; then
        warn "no ssh-keygen: host keys are missing ($missing)"
        did=skipped
    else
        run ssh-keygen -A ${root:+-f "$root"}
        did="made: $missing"
    fi
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
            put "$STATE/$name" $mode <"$work/$name.decoded"
            did="$did${did:+; }$name, $(($(wc -c <"$work/$name.decoded"))) bytes"
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
    one_line "/sys/class/block/$device/partition"
    filled=disk
    if [ -n "$value" ]; then
        disk=$(readlink "/sys/class/block/$device")
        disk=${disk%/*}
        grow_partition "/dev/${disk##*/}" "$value" || filled=partition
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

# Sets device (its name) and kind (of file system) of /, from mountinfo; device is empty when it is no block device.
root_device() {
    device='' kind=''
    while read -r _ _ numbers _ point rest; do
        [ "$point" = / ] || continue
        rest=${rest#*- }
        kind=${rest%% *} rest=${rest#* }
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
        put "$STATE/ovf-env.xml" 0600 <"$work/redacted"
        did='kept without secrets'
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
    esac
    clock
    say "$step: $did ($(((now - started) * 10)) ms)"
    step=''
}

# ---- report ----

# Fields, one a line, to a description: REASON|key=value|..., cut before escaping so that it keeps within the 4,096
# characters that the platform takes after it. Escaped for XML, or for a JSON string.
DESCRIBE='
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
    if (length($0) > 1500) $0 = substr($0, 1, 1500) "..."
    text = text (NR > 1 ? "|" : "") $0
}
END {
    whole = length(text)
    while (length(escaped(text)) > 4095) text = substr(text, 1, length(text) - over(text))
    if (length(text) < whole) sub(/[\300-\377][\200-\277]*$/, "", text)
    print (form == "" ? text : escaped(text))
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
        said=$refused
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
    http GET "$wireserver/machine?comp=goalstate" 'x-ms-version: 2012-11-30' "x-ms-agent-name: $AGENT"
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
    if awk "$SHARED$READ_XML$FOUND_GOAL_STATE" "$work/body" >"$work/goal" 2>/dev/null; then
        while read -r key value; do
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
    {
        line '<?xml version="1.0" encoding="utf-8"?><Health xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"' \
            'xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        line "<GoalStateIncarnation>$(escape_xml "$incarnation")</GoalStateIncarnation><Container>"
        line "<ContainerId>$(escape_xml "$container")</ContainerId><RoleInstanceList><Role>"
        line "<InstanceId>$(escape_xml "$instance")</InstanceId><Health><State>$state_word</State>$details</Health>"
        line '</Role></RoleInstanceList></Container></Health>'
    } | tr -d '\n' >"$work/request"
}

# Most values need nothing, and then no process is started.
escape_xml() {
    case $1 in
        *[\&\<\>]*) line "$1" | awk -v form=xml "$DESCRIBE" ;;
        *) line "$1" ;;
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

# write_kvp FIELDS: PROVISIONING_REPORT for the host, in Hyper-V's pool: records of 512 bytes of key and 2048 of value,
# NUL-padded; one key has one record. The kernel passes on 1,022 bytes of a value unharmed.
write_kvp() {
    [ "$kvp" = yes ] && [ -z "$dry_run" ] && [ -d "$root/var/lib/hyperv" ] || return 0
    pool=$root/var/lib/hyperv/.kvp_pool_1
    if [ -h "$pool" ]; then
        warn '/var/lib/hyperv/.kvp_pool_1 is a symbolic link'
        return
    fi
    {
        line PROVISIONING_REPORT | tr -d '\n' | dd ibs=512 conv=sync
        line "$1" | awk "$DESCRIBE" | tr -d '\n' | head -c 1022 | dd ibs=2048 obs=2048 conv=sync
    } >"$work/record" 2>/dev/null
    (
        exec 8>>"$pool" || exit 0
        ! have flock || flock 8 8>&8
        records=$(($(wc -c <"$pool") / 2560)) at=0
        while [ $at -lt $records ]; do
            key=$(dd if="$pool" bs=2560 skip=$at count=1 2>/dev/null | head -c 512 | tr -d '\000')
            [ "$key" != PROVISIONING_REPORT ] || break
            at=$((at + 1))
        done
        dd if="$work/record" of="$pool" bs=2560 seek=$at conv=notrunc 2>/dev/null
    ) || warn '/var/lib/hyperv/.kvp_pool_1: cannot be written'
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
        if [ -n "$refused" ]; then
            say "Provisioning failed: $failure; not reported: $refused"
            exit 2
        fi
    fi
    say "Provisioning failed: $failure"
    exit $fail_code
}

# finish NAME: report Ready, then switch the unit off, and end.
finish() {
    clock
    if [ -n "$silent" ]; then
        took
        say "Provisioned $1 in $took s: not reported ($silent)"
        exit 0
    fi
    facts_now
    write_kvp "result=success$NEWLINE$facts"
    send Ready
    clock
    took
    if [ -n "$refused" ]; then
        say "Provisioned $1 in $took s, but not reported: $refused; the next boot reports again"
        exit 2
    fi
    stamp reported || warn 'the next boot reports again'
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
        [ -e "$wants" ] || [ -h "$wants" ] || continue
        if rm -f "$wants" 2>/dev/null; then
            say "${wants#"$root"} is off from now on"
        else
            warn "${wants#"$root"} stays"
        fi
    done
}

# ---- command line and settings ----

parse_options() {
    verb=run root='' imds_base=http://169.254.169.254 wireserver_wish='' medium_wish='' platform=auto vm_id=''
    config=/etc/azure-provisioning.conf deadline_option='' report_option='' only='' skip='' dry_run='' failed=''
    told_failed=''
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
            --root | --imds | --wireserver | --medium | --platform | --vm-id | --config | --deadline | --report | --only | --skip | --failed)
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
    [ -z "$told_failed" ] || [ "$verb" = report ] || usage 'provision.sh: --failed belongs to the verb report'
}

take_option() {
    case $option in
        --only | --skip) ;;
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
        --failed) failed=$value told_failed=yes ;;
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
    custom_data=save skip_setting='' warnings=''
    [ ! -r "$root$config" ] || while IFS=" $TAB" read -r text || [ -n "$text" ]; do
        text=${text%"$CR"}
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
    folder $STATE 0700
    for candidate in $STEPS; do
        if has "$candidate" "$skip $skip_setting" || { [ -n "$only" ] && ! has "$candidate" "$only"; }; then
            continue
        fi
        take "$candidate"
    done
    settle
    [ -n "$only$dry_run" ] || stamp applied || fail 'unhandled exception' "error=$STATE/applied cannot be written"
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
    if [ -n "$told_failed" ]; then
        fail_code=0
        fail "$failed"
    fi
    if [ -z "$vm_id" ]; then
        # no DMI: as the last run found out
        one_line "$state/applied"
        ! guid "$value" || settle_vm_id "$value"
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

# One run at a time, where there is flock. The lock ends with the process; hooks do not inherit it.
lock() {
    [ -z "$dry_run" ] || return 0
    folder /run/azure-provisioning 0700
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

act() {
    me=$(id -u)
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
    trap 'rm -rf "$work"' EXIT
    trap 'exit 143' TERM INT HUP
    make_work
    : >"$work/input"
    choose_client || {
        say 'azure-provisioning needs curl, wget with --header, or bash'
        exit 2
    }
    until=$((began + deadline * 100))
    lock
    "${verb}_verb"
}

step='' silent='' dirty='' medium='' refused_devices='' fail_code=1 work=/nonexistent
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
    *) root=${root%/} ;;
esac
state=$root$STATE
act
