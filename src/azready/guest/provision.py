#!/usr/bin/python3 -IS
"""First boot on Azure without an agent: apply what the VM's owner asked for, then report ready, once.

This one file is the whole program. It runs as root inside the image, on nothing but the standard library of Python
3.6 or newer, python3-minimal included (which has no http, no xml package and mostly no json). docs/guest.md describes
it; this is what a reader may want to know first:

  who it talks to   169.254.169.254 (IMDS) and 168.63.129.16 (the WireServer), plain HTTP, never through a proxy;
                    the provisioning medium, mounted read-only. On a machine that is not on Azure: nobody.
  what it trusts    nothing: every value is checked before use, sizes are capped, DTDs refused, nothing evaluated.
  what it writes    the paths listed in install.toml, each whole or not at all (temporary file, fsync, rename).
  secrets           the password goes through a pipe to chpasswd and nowhere else.

Speed is a design rule, because somebody waits for this VM. Hence the unusual parts: `posix` instead of `os`, `_socket`
instead of `socket`, an own HTTP client and JSON reader, no `re`: the usual modules cost five times the start of the
interpreter. Data runs one way: documents -> parsers -> Wishes -> steps -> report; only the section "edges" has effects.

The story is told by `run`, under Main, the last section; each before it is one stop of it:

  Settings    what was chosen when the image was prepared, and the command line
  Records     Wishes and the like: what goes from stop to stop
  Parsers     bytes or text -> values: JSON, XML, leases, keys, sshd's and sudo's own files
  Decisions   what was read -> what shall be
  Edges       files, processes, HTTP, the medium, the clock
  Steps       one for each part of the tree: host name, user, sudo, keys, password, sshd ... access
  State       applied, and reported: for which VM
  Report      the goal state, and the health report by it
  Main        `run`, the verbs, and the exit code
"""

import errno
import posix
import sys
import time
from _stat import S_ISDIR, S_ISLNK, S_ISREG

VERSION = "0.2.0"
AGENT = "azure-provisioning"

# ---------------------------------------------------------------------------------------------------------------------
# Settings: what was chosen when the image was prepared, and what the command line says.
# ---------------------------------------------------------------------------------------------------------------------

ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"  # SMBIOS chassis asset tag of every Azure VM
IMDS = "http://169.254.169.254"
WIRESERVER = "168.63.129.16"

PROGRAM = "/usr/lib/azure-provisioning"
STATE = "/var/lib/azure-provisioning"
RUN = "/run/azure-provisioning"
SETTINGS = "/etc/azure-provisioning.conf"
HOOKS = "/etc/azure-provisioning.d"
UNIT = "azure-provisioning.service"
KVP_POOL = "/var/lib/hyperv/.kvp_pool_1"

CONNECT_LIMIT = 2.0  # seconds for a TCP connection
ANSWER_LIMIT = 10.0  # seconds for a whole answer
COMMAND_LIMIT = 120.0  # seconds for one tool such as useradd
SIZE_LIMIT = 1 << 20  # bytes of any document
DESCRIPTION_LIMIT = 4095  # characters of a health report's description, after escaping
KVP_KEY, KVP_VALUE, KVP_SAFE = 512, 2048, 1022  # bytes of a record's fields, and what the kernel passes on unharmed

GROUPS = ("sudo", "wheel", "adm", "systemd-journal")
HOST_KEYS = ("rsa", "ecdsa", "ed25519")
OWN_PROXY = "azure-proxy-agent"  # Microsoft's Guest Proxy Agent, which signs requests where the VM has MSP on

YES_NO = ("yes", "no")
# key: (default, allowed texts, or the smallest and largest number of seconds, or the kind of text it is)
SETTING = {
    "ACCESS": ("fail", ("fail", "warn", "off")),
    "GROUPS": ("", "groups"),
    "SHELL": ("", "path"),
    "REQUIRE_CUSTOM_DATA": ("no", YES_NO),
    "PROVISIONDATA": ("no", ("no", "auto")),
    "REPORT": ("auto", ("auto", "xml", "json", "none")),
    "DEADLINE": ("1200", (1, 86400)),
    "IMDS_WAIT": ("60", (1, 86400)),
    "MEDIUM_WAIT": ("10", (0, 86400)),
    "HOOK_TIMEOUT": ("300", (1, 86400)),
    "EARLY_REPORT": ("no", YES_NO),
    "KVP": ("yes", YES_NO),
    "ENTROPY": ("yes", YES_NO),
    "GROW": ("no", YES_NO),
    "CUSTOM_DATA": ("save", ("save", "run", "ignore")),
    "SKIP": ("", "steps"),
}

USAGE = """\
usage: provision.py [run] [OPTION...]                   apply what the VM's owner asked for, then report
       provision.py report [--failed TEXT] [OPTION...]  only report: Ready, or that provisioning failed and why
       provision.py report --wait-for UNIT [--every S]  Ready once UNIT is up, or at once that it failed, and why
       provision.py report --in-progress [--every S]    still at work: once, or every S seconds until the deadline
       provision.py name [OPTION...]                    only name the host by the medium, before there is a network
       provision.py --steps | --version | --help

  --root DIR            act on the tree under DIR (default /)
  --imds URL            IMDS (default {imds})
  --wireserver URL      WireServer (default: option 245 of the DHCP lease, else http://{wireserver})
  --medium PATH         provisioning medium: a folder with ovf-env.xml, a device, or none (default: look for it)
  --platform auto|azure azure: do not ask the chassis asset tag
  --vm-id GUID          do not ask DMI or IMDS for the VM id
  --config FILE         settings (default {settings})
  --deadline SECONDS    all waiting together (default: setting DEADLINE, 1200)
  --report FORM         auto, xml, json or none (default: setting REPORT, auto)
  --only STEP,...       only these steps; keeps no state, reports nothing
  --skip STEP,...       all but these
  --dry-run             say what would change, change nothing, report nothing

exit: 0 done or nothing to do; 1 failed and reported; 2 a report was not accepted; 64 bad usage; 77 not root
"""


class Usage(Exception):
    """A command line that cannot be followed."""


class Options:
    """The command line."""

    __slots__ = (
        "verb", "root", "imds", "wireserver", "medium", "platform", "vm_id", "config", "deadline", "report", "only",
        "skip", "dry_run", "failed", "in_progress", "wait_for", "every",
    )  # fmt: skip

    def __init__(self):
        self.verb, self.root, self.imds, self.wireserver, self.medium = "run", "/", IMDS, "", ""
        self.platform, self.vm_id, self.config = "auto", "", SETTINGS
        self.deadline, self.report, self.only, self.skip = "", "", (), ()
        self.dry_run, self.failed = False, None
        self.in_progress, self.wait_for, self.every = False, "", ""


def parse_options(words):
    """Read the command line. Raises Usage with a line that says what is allowed."""
    options = Options()
    words = list(words)
    if words and words[0] in ("run", "report", "name"):
        options.verb = words.pop(0)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in ("--dry-run", "--in-progress") and not equals:
            setattr(options, name[2:].replace("-", "_"), True)
            continue
        if name not in _TAKES_VALUE:
            raise Usage("unknown option or verb %r: see --help" % name)
        if not equals:
            if not words:
                raise Usage("%s needs a value" % name)
            value = words.pop(0)
        field = name[2:].replace("-", "_")
        setattr(options, field, _TAKES_VALUE[name](name, value))
    chosen = (
        (options.failed is not None, "--failed"),
        (options.wait_for, "--wait-for"),
        (options.in_progress, "--in-progress"),
    )
    chosen = [name for there, name in chosen if there]
    if chosen and options.verb != "report":
        raise Usage("%s belongs to the verb report" % chosen[0])
    if len(chosen) > 1:
        raise Usage("%s and %s are two reports" % tuple(chosen[:2]))
    if options.every and chosen not in (["--wait-for"], ["--in-progress"]):
        raise Usage("--every belongs to --wait-for or --in-progress")
    return options


def _text(name, value):
    if not value:
        raise Usage("%s needs a value" % name)
    return value


def _reason(_, value):
    """A script that knows no reason is not to lose the VM for that."""
    return value if printable(value).strip() else "no reason was given"


def _one_of(*allowed):
    def check(name, value):
        if value not in allowed:
            raise Usage("%s is one of %s, not %r" % (name, ", ".join(allowed), value))
        return value

    return check


def _seconds(name, value):
    if not is_number(value, 1, 86400):
        raise Usage("%s is a number of seconds from 1 to 86400, not %r" % (name, value))
    return value


def _url(name, value):
    if parse_url(value) is None:
        raise Usage("%s is http://HOST or http://HOST:PORT, not %r" % (name, value))
    return value


def _guid(name, value):
    if not canonical(value):
        raise Usage("%s is a GUID, not %r" % (name, value))
    return value


def _step_names(name, value):
    names, unknown = step_list(value)
    if unknown:
        raise Usage("%s: unknown step %r; the steps are %s" % (name, unknown[0], ", ".join(STEP_NAMES)))
    return names


_TAKES_VALUE = {
    "--root": _text,
    "--imds": _url,
    "--wireserver": _url,
    "--medium": _text,
    "--platform": _one_of("auto", "azure"),
    "--vm-id": _guid,
    "--config": _text,
    "--deadline": _seconds,
    "--report": _one_of("auto", "xml", "json", "none"),
    "--only": _step_names,
    "--skip": _step_names,
    "--failed": _reason,
    "--wait-for": _text,
    "--every": _seconds,
}


def lines_of(text):
    """The lines of a file of the image. str.splitlines ends them at U+2028, too, and at form feeds: names have both."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def parse_settings(text):
    """Read KEY=value lines. Returns the settings with defaults filled in, and warnings about what was not followed."""
    values = {key: default for key, (default, _) in SETTING.items()}
    warnings = []
    for line in text.splitlines():
        key, equals, value = line.strip(" \t\r").partition("=")
        key, value = key.strip(" \t"), value.strip(" \t")
        if not key and not equals or key.startswith("#"):
            continue
        if key not in SETTING:
            warnings.append("setting %s is not known and ignored" % printable(key))
        elif not _allowed(value, SETTING[key][1]):
            warnings.append("setting %s=%s is not allowed; the default holds" % (key, printable(value)))
        else:
            values[key] = value
    return values, warnings


def _allowed(value, rule):
    if rule == "steps":
        return not step_list(value)[1]
    if rule == "groups":
        return all(valid_user(name) for name in value.split(",")) if value else True
    if rule == "path":
        return not value or value[0] == "/" and not value.strip(_PATH_CHARACTERS)
    if isinstance(rule[0], int):
        return is_number(value, rule[0], rule[1])
    return value in rule


_PATH_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+"


# ---------------------------------------------------------------------------------------------------------------------
# Records.
# ---------------------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """Provisioning cannot go on. `reason` is of the closed list in docs/guest.md; `facts` are (key, value) pairs."""

    def __init__(self, reason, *facts):
        Exception.__init__(self, reason)
        self.reason, self.facts, self.remarks = reason, facts, []


class Medium:
    """What ovf-env.xml says. Texts are "" when absent, `keys` are as given, `password_login` is True, False or None."""

    __slots__ = (
        "hostname", "user", "password", "password_login", "custom_data", "keys", "document", "device", "pool",
        "proxy_agent",
    )  # fmt: skip

    def __init__(self):
        self.hostname = self.user = self.password = self.custom_data = self.device = self.pool = ""
        self.password_login, self.keys, self.document, self.proxy_agent = None, [], b"", False


class Wishes:
    """What the VM's owner asked for, checked: the only thing that the steps see of the platform."""

    __slots__ = (
        "vm_id", "vm_name", "location", "hostname", "user", "user_from", "keys", "bad_keys", "password",
        "password_login", "password_wanted", "custom_data", "user_data", "document", "device", "remarks",
    )  # fmt: skip

    def __init__(self):
        self.vm_id = self.vm_name = self.location = self.hostname = self.user = self.password = self.device = ""
        self.custom_data = self.user_data = self.document = b""
        self.user_from, self.password_login, self.password_wanted = "", None, False
        self.keys, self.bad_keys, self.remarks = [], [], []


class Account:
    """One line of /etc/passwd."""

    __slots__ = ("name", "uid", "gid", "home", "shell")

    def __init__(self, name, uid, gid, home, shell):
        self.name, self.uid, self.gid, self.home, self.shell = name, uid, gid, home, shell


class Response:
    """An HTTP answer; header names in lower case."""

    __slots__ = ("status", "phrase", "headers", "body")

    def __init__(self, status, phrase, headers, body):
        self.status, self.phrase, self.headers, self.body = status, phrase, headers, body

    def __str__(self):
        return ("%d %s" % (self.status, self.phrase)).rstrip()


class GoalState:
    """The three values of a goal state that a health report repeats."""

    __slots__ = ("container", "instance", "incarnation")

    def __init__(self, container, instance, incarnation):
        self.container, self.instance, self.incarnation = container, instance, incarnation


# ---------------------------------------------------------------------------------------------------------------------
# Parsers: bytes or text in, values out. Malformed input is a ValueError.
# ---------------------------------------------------------------------------------------------------------------------


def printable(text, limit=200):
    """`text` fit for one line of a log: control characters become spaces, long texts are cut."""
    if len(text) > limit:
        text = text[:limit] + "..."
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _shown(c) for c in text])


def _shown(c):
    """What a log shows of a character that is none to be printed. The surrogates are bytes that were no UTF-8."""
    if "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff":
        return "\ufffd"
    return c if c > "\x9f" else " "


def without_controls(text):
    """`text` with blanks for its control characters."""
    return "".join([" " if c < " " or "\x7f" <= c <= "\x9f" else c for c in text])


def is_number(text, least=0, most=9999999999):
    """Whether `text` is a plain decimal number of up to ten digits, between `least` and `most`."""
    digits = text.lstrip("0") or "0"
    return bool(text) and not text.strip("0123456789") and len(digits) <= 10 and least <= int(digits) <= most


def step_list(text):
    """Split "a,b" into the known steps, and what is not known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return tuple(n for n in names if n in STEP_NAMES), [n for n in names if n not in STEP_NAMES]


def parse_url(url):
    """Split http://HOST[:PORT][/] into (host, port), or None."""
    if not url.startswith("http://"):
        return None
    host, colon, port = url[7:].rstrip("/").partition(":")
    if not host or host.strip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"):
        return None
    if colon and not is_number(port, 1, 65535):
        return None
    return host, int(port or 80)


def parse_ipv4(text):
    """`text` when it is a dotted IPv4 address that can be a host's, else ""."""
    parts = text.split(".")
    if len(parts) != 4 or not all(is_number(part, 0, 255) and str(int(part)) == part for part in parts):
        return ""
    return text if 0 < int(parts[0]) < 224 else ""


def canonical(guid):
    """A GUID in lower case, or "" when `guid` is none."""
    guid = guid.strip().lower()
    parts = guid.split("-")
    if [len(part) for part in parts] != [8, 4, 4, 4, 12] or "".join(parts).strip("0123456789abcdef"):
        return ""
    return guid


def swapped(guid):
    """The same GUID with its first three fields in the other byte order (SMBIOS 2.6 section 7.2.1)."""
    first, second, third, rest = guid.split("-", 3)

    def turn(digits):
        return "".join([digits[i : i + 2] for i in range(len(digits) - 2, -1, -2)])

    return "-".join((turn(first), turn(second), turn(third), rest))


def same_vm(one, other):
    """Whether two VM ids name the same VM, in whatever case and byte order. What is no GUID is nobody's id."""
    one, other = canonical(one), canonical(other)
    return bool(one) and bool(other) and other in (one, swapped(one))


def read_json(text):
    """Parse a JSON document (RFC 8259). The standard module is not in python3-minimal, and takes as long as Python.

    Raises ValueError for whatever the standard module refuses, and for NaN, Infinity and nesting beyond 64.
    """
    text += "\0"  # a sentinel: every loop below ends at it
    value, at = _json_value(text, _json_blank(text, 0), 0)
    if _json_blank(text, at) != len(text) - 1:
        raise ValueError("text after the JSON document")
    return value


def _json_blank(text, at):
    while text[at] in " \t\n\r":
        at += 1
    return at


def _json_value(text, at, depth):
    first = text[at]
    if first == '"':
        return _json_string(text, at + 1)
    if first == "{" or first == "[":
        if depth >= 64:
            raise ValueError("JSON nested too deep")
        return (_json_object if first == "{" else _json_array)(text, _json_blank(text, at + 1), depth + 1)
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
    return _json_number(text, at)


def _json_object(text, at, depth):
    table = {}
    if text[at] == "}":
        return table, at + 1
    while True:
        if text[at] != '"':
            raise ValueError("no name at %d of a JSON object" % at)
        key, at = _json_string(text, at + 1)
        if text[at] != ":":  # as nearly all have it, without blanks
            at = _json_blank(text, at)
        if text[at] != ":":
            raise ValueError("no colon at %d of a JSON object" % at)
        table[key], at = _json_value(text, _json_blank(text, at + 1), depth)
        if text[at] != ",":
            at = _json_blank(text, at)
        if text[at] == "}":
            return table, at + 1
        if text[at] != ",":
            raise ValueError("no comma at %d of a JSON object" % at)
        at = _json_blank(text, at + 1)


def _json_array(text, at, depth):
    items = []
    if text[at] == "]":
        return items, at + 1
    while True:
        item, at = _json_value(text, at, depth)
        items.append(item)
        at = _json_blank(text, at)
        if text[at] == "]":
            return items, at + 1
        if text[at] != ",":
            raise ValueError("no comma at %d of a JSON array" % at)
        at = _json_blank(text, at + 1)


_JSON_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _json_string(text, at):
    quote = text.index('"', at)
    plain = text[at:quote]
    if plain.isprintable() and "\\" not in plain:  # nearly all
        return plain, quote + 1
    parts = []
    while True:
        quote = text.index('"', at)
        slash = text.find("\\", at, quote)
        plain = text[at : quote if slash == -1 else slash]
        if plain and min(plain) < " ":
            raise ValueError("control character in a JSON string")
        parts.append(plain)
        if slash == -1:
            return "".join(parts), quote + 1
        if text[slash + 1] == "u":
            character, at = _json_unicode(text, slash)
        elif text[slash + 1] in _JSON_ESCAPES:
            character, at = _JSON_ESCAPES[text[slash + 1]], slash + 2
        else:
            raise ValueError("unknown escape at %d of JSON" % slash)
        parts.append(character)


def _json_unicode(text, at):
    code = _json_hex(text, at)
    at += 6
    if 0xD800 <= code < 0xDC00 and text.startswith("\\u", at):
        low = _json_hex(text, at)
        if 0xDC00 <= low < 0xE000:
            return chr(0x10000 + (code - 0xD800 << 10) + (low - 0xDC00)), at + 6
    return chr(code), at


def _json_hex(text, at):
    digits = text[at + 2 : at + 6]
    if len(digits) != 4 or digits.strip("0123456789abcdefABCDEF"):
        raise ValueError("bad \\u escape at %d of JSON" % at)
    return int(digits, 16)


def _json_number(text, at):
    start = at
    if text[at] == "-":
        at += 1
    whole = _json_digits(text, at)
    if whole == at or (text[at] == "0" and whole > at + 1):
        raise ValueError("no JSON value at %d" % start)
    at, number = whole, int
    if text[at] == ".":
        at, number = _json_digits(text, at + 1), float
        if at == whole + 1:
            raise ValueError("no digits after the point at %d of JSON" % at)
    if text[at] in "eE":
        sign = at + 2 if text[at + 1] in "+-" else at + 1
        at, number = _json_digits(text, sign), float
        if at == sign:
            raise ValueError("no digits in the exponent at %d of JSON" % at)
    return number(text[start:at]), at


def _json_digits(text, at):
    while text[at] in "0123456789":
        at += 1
    return at


def without_mark(body):
    """`body` without UTF-8's byte order mark. Python's own codec for that is a module to be loaded."""
    return body[3:] if body.startswith(b"\xef\xbb\xbf") else body


def parse_imds(body):
    """The IMDS instance document. Its primitives are strings, possibly "" (Microsoft, instance metadata service)."""
    document = read_json(without_mark(body).decode())
    if not isinstance(document, dict) or not isinstance(document.get("compute"), dict):
        raise ValueError("no compute in the IMDS document")
    return document


def stated(value):
    """True or False when `value` says so in any case; None for everything else, "" among it."""
    return {"true": True, "false": False}.get(str(value).strip(_XML_BLANKS).lower())


OVF = "http://schemas.dmtf.org/ovf/environment/1"
WINDOWS_AZURE = "http://schemas.microsoft.com/windowsazure"


def _expat(handle_start, handle_end, handle_text):
    """A namespace-aware parser that refuses DTDs, and with them every entity of the document's own making."""
    import pyexpat

    def refuse(*_):
        raise ValueError("it has a DTD")

    parser = pyexpat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = handle_start
    parser.EndElementHandler = handle_end
    parser.CharacterDataHandler = handle_text
    return parser


def _xml_texts(document):
    """Every element of a document as it ends: ("namespace name" path, text) pairs; no text where it holds others."""
    if len(document) > SIZE_LIMIT:
        raise ValueError("it is larger than %d bytes" % SIZE_LIMIT)
    path, texts, found = [], [], []
    leaf = [False]

    def start(name, _):
        path.append(name)
        del texts[:]
        leaf[0] = True
        if len(path) > 32:
            raise ValueError("it is nested too deep")

    def end(_):
        found.append((tuple(path), "".join(texts) if leaf[0] else ""))
        leaf[0] = False
        path.pop()

    parser = _expat(start, end, texts.append)
    try:
        parser.Parse(document, True)
    except ValueError:
        raise
    except Exception as error:  # pyexpat.error, not imported here
        raise ValueError(str(error)) from None
    return found


def parse_goal_state(document):
    """ContainerId, InstanceId of the first RoleInstance, and Incarnation; ValueError when one is not there (yet)."""
    container, role = ("GoalState", "Container"), ("RoleInstanceList", "RoleInstance", "InstanceId")
    values = {}
    for path, text in _xml_texts(document):
        values.setdefault(path, text.strip())
    wanted = []
    for path in (container + ("ContainerId",), container + role, ("GoalState", "Incarnation")):
        value = values.get(path, "")
        if not value or len(value) > 512 or not value.isprintable():
            raise ValueError("the goal state has no %s" % path[-1])
        wanted.append(value)
    return GoalState(*wanted)


_SECTION = (OVF + " Environment", WINDOWS_AZURE + " ProvisioningSection")
_LINUX = _SECTION + (WINDOWS_AZURE + " LinuxProvisioningConfigurationSet",)
_PLATFORM = (_SECTION[0], WINDOWS_AZURE + " PlatformSettingsSection", WINDOWS_AZURE + " PlatformSettings")
_XML_BLANKS = " \t\r\n"


def parse_medium(document):
    """ovf-env.xml. Matched by namespace, because the prefix differs between hosts; a doubled element is malformed."""
    values, keys, found, platform = {}, [], False, {}
    for path, text in _xml_texts(document):
        if path[:3] == _PLATFORM and len(path) == 4:
            platform.setdefault(path[3][len(WINDOWS_AZURE) + 1 :], text.strip(_XML_BLANKS))
        if path[:3] != _LINUX:
            continue
        if len(path) == 3:
            if found:
                raise ValueError("it has two elements LinuxProvisioningConfigurationSet")
            found = True
            continue
        names = tuple([part[len(WINDOWS_AZURE) + 1 :] for part in path[3:] if part.startswith(WINDOWS_AZURE + " ")])
        if len(names) < len(path) - 3:
            continue
        if names == ("SSH", "PublicKeys", "PublicKey", "Value"):
            keys.append(text)
        elif len(names) == 1:
            if names in values:
                raise ValueError("it has two elements " + names[0])
            values[names] = text
    if not found:
        raise ValueError("it has no LinuxProvisioningConfigurationSet")
    medium = Medium()
    medium.hostname = values.get(("HostName",), "").strip(_XML_BLANKS)
    medium.user = values.get(("UserName",), "").strip(_XML_BLANKS)
    medium.password = values.get(("UserPassword",), "")
    medium.custom_data = values.get(("CustomData",), "")
    disabled = stated(values.get(("DisableSshPasswordAuthentication",), ""))
    medium.password_login = None if disabled is None else not disabled
    medium.keys, medium.document = keys, document
    if stated(platform.get("PreprovisionedVm", "")):
        medium.pool = platform.get("PreprovisionedVMType", "") or platform.get("PreprovisionedVmType", "") or "true"
    medium.proxy_agent = bool(stated(platform.get("ProvisionGuestProxyAgent", "")))
    return medium


def redact(document):
    """ovf-env.xml without its secrets: the content of passwords and custom data becomes REDACTED."""
    spans, open_at = [], []

    def start(name, _):
        local = name.rpartition(" ")[2]
        if open_at:
            open_at.append(None)
        elif "password" in local.lower() and not local.lower().startswith("disable") or local == "CustomData":
            open_at.append(parser.CurrentByteIndex)

    def end(_):
        if open_at:
            begin = open_at.pop()
            if begin is not None:
                spans.append((begin, parser.CurrentByteIndex))

    parser = _expat(start, end, None)
    parser.Parse(document, True)
    pieces, done = [], 0
    for begin, finish in spans:
        content = document.index(b">", begin) + 1
        if content < finish:
            pieces += [document[done:content], b"REDACTED"]
            done = finish
    return b"".join(pieces) + document[done:]


KEY_TYPES = (
    "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
)  # fmt: skip


# What may stand before the type in authorized_keys (sshd(8)): switches, and options with a value in quotes.
KEY_SWITCHES = (
    "agent-forwarding", "cert-authority", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-touch-required",
    "no-user-rc", "no-verify-required", "no-x11-forwarding", "port-forwarding", "pty", "restrict", "touch-required",
    "user-rc", "verify-required", "x11-forwarding",
)  # fmt: skip


def split_keys(text):
    """The keys in one keyData. Old portals broke a key with CR LF in its middle; some people paste several keys."""
    found = []
    for line in text.replace("\r", "\n").split("\n"):
        line = line.lstrip("\ufeff \t")  # a byte order mark, from an editor of Windows
        if not found or key_start(line) >= 0:
            found.append(line)
        else:
            found[-1] += line
    return [one for key in found if key.strip(" \t") for one in _side_by_side(key.strip(" \t"))]


def _side_by_side(line):
    """The keys of one line: a second one begins where a type is followed by the body of a key."""
    start = key_start(line)
    words = line[start:].replace("\t", " ").split(" ") if start >= 0 else []
    at = start + len(" ".join(words[:2]))
    for index in range(2, len(words) - 1):
        if words[index] in KEY_TYPES and words[index + 1].startswith("AAAA"):
            return [line[:at].rstrip(" \t")] + _side_by_side(line[at:].lstrip(" \t"))
        at += 1 + len(words[index])
    return [line]


def key_start(line):
    """Where the type of a key begins in a line of authorized_keys, behind its options; -1 when it is no such line."""
    at = 0
    if line.replace("\t", " ").partition(" ")[0] not in KEY_TYPES:
        at = len(line) - len(line[_options(line)[1] :].lstrip(" \t"))
    return at if line[at:].replace("\t", " ").partition(" ")[0] in KEY_TYPES else -1


def _options(line):
    """The options at the head of a line, as (name in lower case, its value or None), and their end; none and -1 when
    the line does not begin with NAME[="VALUE"],…"""
    found, at = [], 0
    while True:
        end = at
        while line[end : end + 1].isalnum() or line[end : end + 1] == "-":
            end += 1
        name, value, at = line[at:end].lower(), None, end
        if line[end : end + 2] == '="':
            end = line.find('"', end + 2)
            while end != -1 and line[end - 1] == "\\":
                end = line.find('"', end + 1)
            value, at = line[at + 2 : end], end + 1
        if end == -1 or not (name in KEY_SWITCHES or name in KEY_VALUES):
            return [], -1
        found.append((name, value))
        if line[at : at + 1] != ",":
            return found, at
        at += 1


def refused_option(options):
    """What keeps sshd from taking a key with these options, "" where it takes it (OpenSSH's auth-options.c)."""
    names = [name for name, _ in options]
    for name, value in options:
        takes = KEY_VALUES.get(name)
        once = name not in ("command", "from", "principals") or names.count(name) == 1
        if (takes is None) != (value is None) or takes and not takes(value) or not once:
            return "sshd does not take its option " + name
        if name == "principals" and "cert-authority" not in names:
            return "its option principals is for authorities (cert-authority)"
        if name == "expiry-time" and days_since_1970(int(value[:4]), int(value[4:6]), int(value[6:8])) < _yesterday():
            return "its expiry-time has passed"
    return ""


def _yesterday():
    """Days since 1970: what was over then is over in every time zone."""
    return int(time.time()) // 86400 - 1


def _is_time(value):
    """YYYYMMDD[HHMM[SS]], as sshd reads times, in the machine's zone or with Z."""
    digits = value[:-1] if value[-1:] in ("Z", "z") else value
    month, day = digits[4:6], digits[6:8]
    return (
        len(digits) in (8, 12, 14) and not digits.strip("0123456789") and "01" <= month <= "12" and "01" <= day <= "31"
    )


def _is_place(value):
    """HOST:PORT for permitopen, of which a bare port is none."""
    host, _, port = value.rpartition(":")
    return host != "" and _is_port(port)


def _is_port(value):
    """A number, or whatever may be the name of a service."""
    return value.strip("0123456789") != "" or is_number(value, 1, 65535)


def _is_variable(value):
    name = value.partition("=")[0]
    return name != value and name != "" and not name.strip("_" + BASE64[:-2])


KEY_VALUES = {
    "command": lambda value: True,
    "environment": _is_variable,
    "expiry-time": _is_time,
    "from": lambda value: value != "",
    "permitlisten": lambda value: _is_place(value) if ":" in value else _is_port(value),
    "permitopen": _is_place,
    "principals": lambda value: True,
    "tunnel": lambda value: value == "any" or is_number(value, 0, 1 << 30),
}


def parse_key(text):
    """One public key as a line of authorized_keys; ValueError says what is wrong with it."""
    if "BEGIN " in text:
        raise ValueError("it is a certificate, not an ssh key")
    start = key_start(text)
    words = text[start:].replace("\t", " ").split(" ", 1) if start >= 0 else []
    rest = words[1].lstrip(" ").split(" ", 1) if len(words) > 1 else [""]
    if not rest[0]:
        raise ValueError("it does not begin with a known key type")
    if not _is_key(words[0].encode(), _key_blob(rest[0])):
        raise ValueError("its body is not a key of that type, or is cut")
    refused = refused_option(_options(text)[0]) if start else ""
    if refused:
        raise ValueError(refused)
    comment = rest[1] if len(rest) > 1 else ""
    comment = without_controls(comment).strip(" ")
    comment = comment.encode("utf-8", "replace")[:256].decode("utf-8", "ignore")
    return " ".join([text[:start].strip(" \t") + " " + words[0] if start else words[0], rest[0], comment]).rstrip(" ")


def _key_blob(body):
    try:
        return decode_base64(body)
    except ValueError:
        raise ValueError("its body is not base64") from None


def _is_key(kind, blob):
    """Whether the blob's fields, each behind its length, are those of the type, and end with it (RFC 4253 section 6.6,
    RFC 5656 section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f)."""
    fields = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size:
            return False
        fields.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    if fields[:1] != [kind]:
        return False
    sizes = [len(field) for field in fields[1:]]
    if kind == b"ssh-rsa":  # exponent and modulus; OpenSSH takes no modulus under 1024 bits
        return len(sizes) == 2 and 0 < sizes[0] <= 8 and sizes[1] >= 128 and fields[1][0] < 128 and fields[2][0] < 128
    if kind.startswith(b"sk-"):
        if sizes[-1:] == [0]:
            return False
        sizes, kind = sizes[:-1], kind[3:].replace(b"@openssh.com", b"")
    if kind == b"ssh-ed25519":
        return sizes == [32]
    curve = kind[len(b"ecdsa-sha2-") :]
    point = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}.get(curve)
    return sizes == [8, point] and fields[1] == curve and fields[2][:1] == b"\4"


BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def decode_base64(text):
    """The bytes of base64 text in whole groups of four (RFC 4648), blanks allowed; ValueError for anything else."""
    import binascii

    compact = "".join([part for part in text.replace("\t", " ").replace("\r", " ").replace("\n", " ").split(" ")])
    data = binascii.a2b_base64(compact)  # which leaves out what it does not know
    if binascii.b2a_base64(data).strip() != compact.encode():
        raise ValueError("not base64")
    return data


def parse_response(data, ended):
    """An HTTP/1.x answer from the bytes so far, or None while more must come. ValueError: malformed, or cut short."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        if ended or len(data) > 65536:
            raise ValueError("the answer was cut short" if data else "an empty answer")
        return None
    lines = head.decode("latin-1").split("\r\n")
    protocol, _, rest = lines[0].partition(" ")
    code, _, phrase = rest.partition(" ")
    if not protocol.startswith("HTTP/1.") or not is_number(code, 100, 599):
        raise ValueError("not an HTTP answer")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", "").lower():
        content = _chunks(body)
    elif "content-length" in headers:
        if not is_number(headers["content-length"], 0, SIZE_LIMIT):
            raise ValueError("the answer is too large")
        length = int(headers["content-length"])
        content = body[:length] if len(body) >= length else None
    else:
        content = b"" if int(code) in (204, 304) else (body if ended else None)
    if content is None:
        if ended:
            raise ValueError("the answer was cut short")
        return None
    return Response(int(code), printable(phrase, 60), headers, content)


def _chunks(data):
    """The content of a chunked body (RFC 9112 section 7.1), or None while it is not complete."""
    content, at = [], 0
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = data[at:line_end].partition(b";")[0].strip()
        if not 0 < len(size) <= 8 or size.strip(b"0123456789abcdefABCDEF"):
            raise ValueError("a bad chunk")
        length = int(size, 16)
        if length == 0:
            return b"".join(content)
        at = line_end + 2
        content.append(data[at : at + length])
        at += length + 2


LEASE_MARKS = ("OPTION_245=", "opt245=", "unknown-245 ", "private_245=", "option-245 ")


def lease_option_245(data, written=None, interfaces=()):
    """The WireServer's address in a DHCP client's lease file (option 245), or "": the last lease that is still valid.

    networkd and NetworkManager: OPTION_245=a83f8110; dhclient: option unknown-245 a8:3f:81:10; or four characters in
    quotes; udhcpc scripts: opt245=a83f8110; dhcpcd keeps the DHCP packet itself. `written`: when the file was (seconds
    since 1970), for leases that only say how long they last. `interfaces`: those of this VM, where that is known.
    """
    now = time.time()
    if data[236:240] == b"\x63\x82\x53\x63":  # the magic cookie of a DHCP packet (RFC 2131)
        lasts = _packet_option(data, 51)
        if written and len(lasts) == 4 and written + int.from_bytes(lasts, "big") < now:
            return ""
        return parse_ipv4(".".join([str(byte) for byte in _packet_option(data, 245)]))
    found = ""
    for lines in _leases(data.decode("latin-1")):
        address, valid = "", True
        for line in lines:
            for mark in LEASE_MARKS:
                _, there, value = line.partition(mark)
                if there:
                    address = parse_ipv4(_lease_value(value.strip().rstrip("; "))) or address
            words = line.partition(";")[0].replace("=", " ").split()
            if words[:1] in (["expire"], ["EXPIRY"]):
                ends = lease_end(words[1:])
                valid = valid and (ends is None or ends > now)
            elif words[:1] == ["interface"] and interfaces:
                valid = valid and words[-1].strip('"') in interfaces
        if valid and address:
            found = address
    return found


def _leases(text):
    """The lines of each lease in a file: dhclient writes one behind the other, the others keep one."""
    leases = [[]]
    for line in text.split("\n"):
        if line.partition("{")[0].strip() == "lease" and "{" in line:
            leases.append([])
        leases[-1].append(line)
    return leases


def lease_end(words):
    """When a lease ends, in seconds since 1970; None for never, or for what is no date: "4 2030/04/01 10:00:00",
    "epoch 1901268000", "1901268000", "never"."""
    if len(words) >= 3 and words[1].count("/") == 2 and words[2].count(":") == 2:
        numbers = words[1].split("/") + words[2].split(":")
        if all(is_number(number, 0, 9999) for number in numbers):
            year, month, day, hour, minute, second = [int(number) for number in numbers]
            if 1 <= month <= 12:
                return ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    if words[:1] == ["epoch"]:
        words = words[1:2]
    plain = words[0] if len(words) == 1 else ""
    return int(plain) if 0 < len(plain) <= 12 and not plain.strip("0123456789") else None


def _packet_option(packet, wanted):
    """The bytes of a DHCP option; empty when it is not there, or has not four bytes."""
    at = 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        length = packet[at + 1]
        if packet[at] == wanted and length == 4:
            return packet[at + 2 : at + 6]
        at += 2 + length
    return b""


def networkctl_option_245(text):
    """The WireServer's address in what `networkctl --json=short status` prints, or "": for networkd of systemd 261 and
    newer, which keeps no lease files. ValueError for what is no JSON."""
    todo, found = [read_json(text)], ""
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            data = value.get("PrivateOptionData")
            if value.get("Option") == 245 and data is not None:
                if isinstance(data, list):
                    data = ".".join([str(byte) for byte in data])
                found = found or parse_ipv4(_lease_value(str(data)))
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return found


def _lease_value(value):
    """Four bytes written as hex digits, hex pairs with colons, or a quoted string, as a dotted address."""
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        characters, at, text = [], 0, value[1:-1]
        while at < len(text):
            octal = text[at + 1 : at + 4]
            if text[at] == "\\" and len(octal) == 3 and not octal.strip("01234567"):
                characters.append(int(octal, 8))
                at += 4
            else:
                at += text[at] == "\\"
                characters.append(ord(text[at : at + 1] or "\0"))
                at += 1
    else:
        digits = value.strip("'\"")
        pairs = digits.split(":") if ":" in digits else [digits[i : i + 2] for i in range(0, len(digits), 2)]
        if (
            ":" not in digits
            and len(digits) != 8
            or any(not 0 < len(pair) <= 2 or pair.strip("0123456789abcdefABCDEF") for pair in pairs)
        ):
            return parse_ipv4(digits)
        characters = [int(pair, 16) for pair in pairs]
    return ".".join([str(number) for number in characters])


class Sshd:
    """What sshd's configuration says to one user.

    `file` is the main file ("" when there is none), `usual` what holds for everybody, `matched` what Match blocks say
    to this user: keyword -> values as words. `plain`: nothing in it has a say in who gets in, so that sshd need not be
    asked. `unsure`: a Match block asks for what only the connection will tell; `shuts`: such a one may keep the user
    out. `opens`: one switches passwords on. `broken`: why sshd does not start, in its own words.
    """

    __slots__ = ("file", "usual", "matched", "plain", "unsure", "opens", "shuts", "broken")

    def __init__(self, file):
        self.file, self.usual, self.matched = file, {}, {}
        self.plain, self.unsure, self.opens, self.shuts, self.broken = True, False, False, False, ""

    def words(self, keyword):
        """The values that sshd takes for a keyword: the first line that has it, those of Match blocks before others."""
        return self.matched.get(keyword) or self.usual.get(keyword) or []

    def says(self, keyword, default):
        """The first value, in lower case."""
        words = self.words(keyword)
        return words[0].lower() if words else default


# Keywords that have no say in whether the owner gets in, where sshd takes their value: a number, a switch, or any text.
QUIET = frozenset(
    """
acceptenv addressfamily allowagentforwarding allowstreamlocalforwarding allowtcpforwarding banner channeltimeout ciphers
clientalivecountmax clientaliveinterval compression debianbanner exposeauthinfo fingerprinthash gatewayports
gssapiauthentication gssapicleanupcredentials gssapikexalgorithms gssapikeyexchange gssapistorecredentialsonrekey
gssapistrictacceptorcheck hostbasedauthentication hostkey hostkeyalgorithms ignorerhosts ignoreuserknownhosts include
ipqos kbdinteractiveauthentication kerberosauthentication kexalgorithms listenaddress logingracetime loglevel macs
maxauthtries maxstartups passwordauthentication permitemptypasswords permitrootlogin permittty permittunnel
permituserenvironment pidfile port printlastlog printmotd protocol rekeylimit strictmodes subsystem syslogfacility
tcpkeepalive unusedconnectiontimeout usedns usepam useprivilegeseparation versionaddendum x11displayoffset x11forwarding
x11uselocalhost
""".split()
)
ANY_TEXT = frozenset(
    "acceptenv banner hostkey include listenaddress loglevel pidfile subsystem syslogfacility versionaddendum".split()
)
SWITCHES = frozenset(
    "yes no none prohibit-password without-password forced-commands-only delayed any inet inet6".split()
)
HARMLESS = {"pubkeyauthentication": ["yes"], "permituserrc": ["yes"], "disableforwarding": ["no"]}
USUAL_KEY_FILES = (".ssh/authorized_keys", "%h/.ssh/authorized_keys")
NAMING = ("allowusers", "denyusers", "allowgroups", "denygroups")
LISTS = NAMING + ("hostkey", "listenaddress")
CONFINES = NAMING + (
    "authorizedkeysfile",
    "authenticationmethods",
    "chrootdirectory",
    "forcecommand",
    "pubkeyacceptedalgorithms",
    "requiredrsasize",
    "revokedkeys",
)
OTHER_NAMES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "dsaauthentication": "pubkeyauthentication",
    "rsaauthentication": "protocol",
}


def sshd_words(line):
    """One line of sshd_config as (keyword in lower case, values): blanks or one = between them, quotes, comments."""
    line = line.strip(" \t\r\n\f")
    if not line or line[0] == "#":
        return "", []
    name, _, rest = line.partition(" ")
    if line[0] == '"':
        name, _, rest = line[1:].partition('"')
    elif not name.isalnum():  # as nearly all keywords are
        end = 0
        while end < len(line) and line[end] not in ' \t\r\f="':
            end += 1
        name, rest = line[:end], line[end:]
    rest = rest.lstrip(" \t\r\f")
    if rest[:1] == "=":
        rest = rest[1:].lstrip(" \t\r\f")
    name = name.lower()
    return OTHER_NAMES.get(name, name), quoted_words(rest)


def quoted_words(text):
    """Split as OpenSSH does: quotes of both kinds hold a word together, a backslash keeps a quote, # ends the line."""
    if not ("\\" in text or "#" in text or "'" in text or '"' in text):
        return [word for word in text.replace("\t", " ").split(" ") if word]
    words, word, quote, at = [], None, "", 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "\\" and text[at : at + 1] in ("\\", "'", '"') or letter + text[at : at + 1] + quote == "\\ ":
            word = (word or "") + text[at]
            at += 1
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in " \t":
            if word is not None:
                words.append(word)
            word = None
        elif letter in "\"'":
            quote, word = letter, word or ""
        elif letter == "#" and word is None:
            break
        else:
            word = (word or "") + letter
    return words + [word] if word is not None else words


def fits(text, pattern, sets=False):
    """Whether a pattern with * and ? (with `sets`: and [a-z], as glob(7) has them) fits the whole of `text`."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        if not ("*" in pattern[1:] or "?" in pattern or "[" in pattern):
            return text.endswith(pattern[1:])
        return any(fits(text[at:], pattern[1:], sets) for at in range(len(text) + 1))
    if not text:
        return False
    end = pattern.find("]", 3 if pattern[1:2] in ("!", "^") else 2) if sets and pattern[0] == "[" else -1
    if end != -1:
        return _in_set(text[0], pattern[1:end]) and fits(text[1:], pattern[end + 1 :], sets)
    return (pattern[0] == "?" or pattern[0] == text[0]) and fits(text[1:], pattern[1:], sets)


def _in_set(letter, members):
    negated = members[0] in "!^"
    members, found = members[negated:], False
    while members:
        if members[1:2] == "-" and len(members) > 2:
            found = found or members[0] <= letter <= members[2]
            members = members[3:]
        else:
            found, members = found or members[0] == letter, members[1:]
    return found != negated


def listed(names, patterns):
    """sshd's pattern list: whether one of `names` is in it. A pattern with ! that fits takes a name out again."""
    inside = False
    for pattern in patterns:
        if any(fits(name, pattern.lstrip("!")) for name in names):
            if pattern.startswith("!"):
                return False
            inside = True
    return inside


def named(names, patterns):
    """Whether one of `names` fits a pattern of AllowUsers and the like, in which an exclamation mark is a letter."""
    return any(fits(name, pattern) for name in names for pattern in patterns)


def match_applies(words, user, groups):
    """Whether a Match block is about this user ("": about everybody); None where only the connection will tell."""
    sure, at = True, 0
    while at < len(words):
        attribute, equals, value = words[at].partition("=")
        attribute, at = attribute.lower(), at + 1
        if attribute == "all":
            continue
        if not equals:
            value, at = (words[at] if at < len(words) else ""), at + 1
        patterns = value.split(",")
        if attribute == "user":
            if not listed([user] if user else [], patterns):
                return False
        elif attribute == "group":
            if not listed(groups, patterns):
                return False
        elif attribute == "invalid-user":
            return False
        else:
            sure = False
    return True if sure else None


def shut_out(sshd, user, groups):
    """Why sshd lets this user in by no method at all, "" where it does (sshd_config(5): in this order)."""
    for keyword, names, say_no in (
        ("denyusers", [user], True), ("allowusers", [user], False),
        ("denygroups", groups, True), ("allowgroups", groups, False),
    ):  # fmt: skip
        patterns = _of_everywhere(sshd.words(keyword))
        if not patterns:
            continue
        if keyword.endswith("users"):
            if say_no:  # a rule about a host is no rule about everybody
                patterns = [pattern for pattern in patterns if "@" not in pattern]
            patterns = [pattern.partition("@")[0] for pattern in patterns]
        if named(names, patterns) == say_no:
            return "sshd's %s %s" % (_SPELLED[keyword], "names " + user if say_no else "does not name " + user)
    for keyword, value, what in (
        ("maxsessions", "0", "MaxSessions 0 opens no session"), ("maxauthtries", "0", "MaxAuthTries 0 takes no try"),
        ("persourcemaxstartups", "0", "PerSourceMaxStartups 0 takes no connection"),
        ("refuseconnection", "yes", "RefuseConnection yes takes no connection"),
    ):  # fmt: skip
        if sshd.says(keyword, "") == value:
            return "sshd's " + what
    return ""


def _of_everywhere(patterns):
    """Patterns of users; USER@* is USER."""
    return [pattern[:-2] if pattern.endswith("@*") else pattern for pattern in patterns]


def host_keys_unfit(sshd):
    """Why sshd can show no host key, "" where it can: it has none of those that it may use (HostKeyAlgorithms)."""
    allowed, kinds = sshd.says("hostkeyalgorithms", "").split(","), []
    for path in sshd.words("hostkey"):
        kinds.append(next((kind for kind in HOST_KEYS if kind in path.rpartition("/")[2]), ""))
    if sshd.plain or not allowed[0] or allowed[0][0] in "+-^" or not kinds or "" in kinds:
        return ""
    if sshd.says("hostkeyagent", "none") != "none" or sshd.says("hostcertificate", "none") != "none":
        return ""
    if any(kind in name for name in allowed for kind in kinds if "-cert-" not in name and name[:3] != "sk-"):
        return ""
    return "sshd has no host key of the kinds that it may show (HostKeyAlgorithms %s)" % ",".join(allowed)


_SPELLED = {
    "denyusers": "DenyUsers", "allowusers": "AllowUsers", "denygroups": "DenyGroups", "allowgroups": "AllowGroups",
}  # fmt: skip


def keys_refused(sshd, keys):
    """Why sshd takes none of these keys; "" where it takes one."""
    if sshd.says("pubkeyauthentication", "yes") == "no":
        return "sshd takes no keys (PubkeyAuthentication no)"
    if sshd.says("authorizedkeysfile", "") == "none" and not keys_from_elsewhere(sshd):
        return "sshd reads no file of keys (AuthorizedKeysFile none)"
    for pattern in sshd.words("authorizedkeysfile")[:1]:  # where our keys are: what comes later is not asked for
        unknown = [piece[:1] for piece in pattern.replace("%%", "").split("%")[1:] if piece[:1] not in ("h", "u", "U")]
        if unknown:
            return "sshd does not know %%%s (AuthorizedKeysFile %s)" % (unknown[0], pattern)
    accepted = sshd.words("pubkeyacceptedalgorithms")
    if accepted and accepted[0][:1] not in "+-^":
        patterns = accepted[0].split(",")
        kinds = [key_identity(key)[0] for key in keys]
        if not any(listed(_SIGNATURES.get(kind, [kind]), patterns) for kind in kinds):
            return "sshd takes no key of type %s (PubkeyAcceptedAlgorithms)" % kinds[0]
    least = sshd.says("requiredrsasize", "0")
    if is_number(least, 0, 1 << 16) and all(0 < rsa_bits(key) < int(least) for key in keys):
        return "sshd takes no RSA key of %d bits (RequiredRSASize %s)" % (rsa_bits(keys[0]), least)
    return ""


def rsa_bits(key):
    """The size of an RSA key by the length of its body, in steps of 256 bits; 0 for keys of other types."""
    kind, body = key_identity(key)
    # beside the modulus: lengths, the type's name, a zero, and an exponent of 1 octet (PuTTY's) to 3
    octets = len(body.rstrip("=")) * 3 // 4 - 20
    return octets // 32 * 256 if kind == "ssh-rsa" else 0


def keys_from_elsewhere(sshd):
    """What else may let a key in, where sshd reads no file of keys: a program of the image, or an authority."""
    if sshd.says("authorizedkeysfile", "") == "none":
        for keyword, name in (("authorizedkeyscommand", "AuthorizedKeysCommand"),
                              ("trustedusercakeys", "TrustedUserCAKeys")):  # fmt: skip
            if sshd.says(keyword, "none") != "none":
                return "sshd reads no file of keys: whether it takes a key is left to %s %s" % (
                    name, " ".join(sshd.words(keyword)))  # fmt: skip
    return ""


_SIGNATURES = {"ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"]}


def passwords_refused(sshd):
    """Why sshd takes no passwords; "" where it does."""
    if sshd.says("passwordauthentication", "yes") != "no" or sshd.says("kbdinteractiveauthentication", "yes") != "no":
        return ""
    return "sshd takes no passwords (PasswordAuthentication no)"


def methods_missing(sshd, keys, has_password):
    """Whether AuthenticationMethods asks for more than the owner has, so many keys among it, whichever of its lists is
    taken."""
    lists = sshd.words("authenticationmethods")
    if not lists or "any" in [methods.lower() for methods in lists]:
        return ""
    able = {"publickey": keys, "password": has_password, "keyboard-interactive": has_password}
    for methods in lists:
        names = [method.partition(":")[0].lower() for method in methods.split(",")]
        if all(able.get(name, False) for name in names) and names.count("publickey") <= keys:  # another key each time
            return ""
    return "sshd wants more than one way to log in (AuthenticationMethods %s)" % " ".join(lists)


# ---------------------------------------------------------------------------------------------------------------------
# Decisions: pure functions from what was read to what shall be.
# ---------------------------------------------------------------------------------------------------------------------


def valid_hostname(name):
    """RFC 1123: labels of letters, digits and hyphens, at most 63 characters each, 255 together."""
    labels = name.split(".")
    return 0 < len(name) <= 255 and all(_valid_label(label) for label in labels)


def _valid_label(label):
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
    return 0 < len(label) <= 63 and not label.strip(allowed) and label[0] != "-" and label[-1] != "-"


def fit_hostname(name):
    """`name` within the 64 characters that Linux allows: cut at a dot where there is one, else at 64."""
    if len(name) <= 64:
        return name
    dot = name[:65].rfind(".")
    return (name[:dot] if dot > 0 else name[:64]).rstrip("-.")


def valid_user(name):
    """What useradd of the supported distributions accepts: a letter or _, then letters, digits, _ - and ., up to 32."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
    return 0 < len(name) <= 32 and name[0] in letters and not name.strip(letters + "0123456789-.")


def uid_min(login_defs):
    """The smallest uid of a person, by login.defs."""
    for line in lines_of(login_defs):
        words = line.split()
        if words[:1] == ["UID_MIN"] and len(words) > 1 and is_number(words[1], 0, 999999999):
            return int(words[1])
    return 1000


def home_mode(login_defs):
    """The mode that useradd gives to a new home, by login.defs."""
    mode, mask = None, 0o022
    for line in lines_of(login_defs):
        words = line.split()
        if len(words) > 1 and words[0] in ("HOME_MODE", "UMASK") and not words[1].strip("01234567"):
            if words[0] == "UMASK":
                mask = int(words[1], 8)
            else:
                mode = int(words[1], 8)
    return (0o777 & ~mask if mode is None else mode) & 0o755


def own_home(home):
    """Whether a path can be the home of one person: nothing of the system's, and no folder that holds homes."""
    home = home.rstrip("/")
    if home in ("", "/home", "/var", "/var/lib", "/var/home", "/var/tmp", "/tmp", "/opt", "/srv", "/mnt", "/media"):
        return False
    first = home.split("/")[1] if home.startswith("/") else ""
    return first not in ("", "root", "bin", "sbin", "lib", "lib64", "usr", "etc", "dev", "proc", "sys", "run", "boot",
                         "nonexistent")  # fmt: skip


def with_line(text, line):
    """A text file with one more line."""
    return text + ("\n" if text and not text.endswith("\n") else "") + line + "\n"


def joined_as(gshadow, groups, name):
    """The text of gshadow with a user in each group that has them by /etc/group: useradd writes that file first."""
    theirs = [fields[0] for fields in groups if len(fields) == 4 and name in fields[3].split(",")]
    text = []
    for line in lines_of(gshadow):
        fields = line.split(":")
        if len(fields) == 4 and fields[0] in theirs and name not in fields[3].split(","):
            line += ("," if fields[3] else "") + name
        text.append(line + "\n")
    return "".join(text)


def completed(texts, owner, today, was_cut):
    """What each account file lacks of an account that passwd has: name of the file -> its new text."""
    name, new = owner.name, {}

    def lines(file):
        return [line.split(":") for line in lines_of(new.get(file, texts[file]))]

    def add(file, line):
        new[file] = with_line(new.get(file, texts[file]), line)

    people = lines("passwd") if "passwd" in texts else []
    secret = [fields[1] for fields in people if fields[0] == name and len(fields) == 7]
    if "shadow" in texts and secret == ["x"] and name not in [fields[0] for fields in lines("shadow")]:
        add("shadow", "%s:!:%d:0:99999:7:::" % (name, today))
    if "group" in texts and not [f for f in lines("group") if f[0] == name or f[2:3] == [str(owner.gid)]]:
        add("group", "%s:x:%d:" % (name, owner.gid))
    if "gshadow" in texts and (new or was_cut) and name not in [fields[0] for fields in lines("gshadow")]:
        if [f for f in lines("group") if f[0] == name]:
            add("gshadow", "%s:!::" % name)
    if "gshadow" in texts and "group" in texts and (new or was_cut):
        joined = joined_as(new.get("gshadow", texts["gshadow"]), lines("group"), name)
        if joined != new.get("gshadow", texts["gshadow"]):
            new["gshadow"] = joined
    for file in ("subuid", "subgid"):
        if file in texts and (new or was_cut) and name not in [fields[0] for fields in lines(file)]:
            ends = [
                int(f[1]) + int(f[2])
                for f in lines(file)
                if len(f) == 3 and is_number(f[1], 0, 1 << 32) and is_number(f[2], 0, 1 << 32)
            ]
            add(file, "%s:%d:65536" % (name, max([100000] + ends)))
    return new


def without_ageing(line, today):
    """A line of shadow whose password, which nobody has, cannot get too old: PASS_MAX_DAYS would lock the owner out."""
    fields = line.split(":")
    if len(fields) < 7:
        return line
    if fields[2] == "0":  # to be changed at the next login
        fields[2] = str(today)
    if is_number(fields[4], 0, 9999):
        fields[4] = ""
    fields[6] = ""
    return ":".join(fields)


def rule_name(names, usual, end=""):
    """The name of our file in a folder whose last file counts: the usual one, or one that sorts after all others (but
    those that begin behind z: nothing would, for every such name there is one behind it)."""
    ours = usual
    while any(ours <= name < "{" for name in others_of(names, end)):
        ours = "zz-" + usual if ours == usual else "z" + ours
    return ours


def others_of(names, end=""):
    """The files of such a folder that are read, but ours."""
    return [
        name for name in names
        if not is_ours(name) and not name.endswith("~") and name.endswith(end) and ("." not in name or end)
    ]  # fmt: skip


def is_ours(name):
    return name.lstrip("z").lstrip("-") in ("90-azure-provisioning", "90-azure-provisioning.conf")


def last_word_is_include(text):
    """Whether sudoers takes in /etc/sudoers.d, and no rule of its own comes after that."""
    included = False
    for line in text.splitlines():
        if line[:2] in ("", "#", "# "):  # most lines
            continue
        words = line.split()
        if words[:1] in (["@includedir"], ["#includedir"]):
            included = included or words[1:2] in (["/etc/sudoers.d"], ["/etc/sudoers.d/"])
        elif words and words[0][0] not in "#@" and not words[0].startswith("Defaults"):
            included = False
    return included


def sudo_asks(listing):
    """Whether sudo wants a password for ALL commands, by what `sudo -l -U NAME` prints: the last rule counts."""
    asks = True
    for line in listing.splitlines():
        line = line.strip()
        if line.startswith("(") and (line.endswith(" ALL") or line.endswith(" ALL, ALL")):
            asks = "NOPASSWD:" not in line
    return asks


def sudoers_name(name):
    """A user name for sudoers, where a word in capitals would be an alias."""
    return '"%s"' % name if name.lower() != name else name


def text_at(document, *path):
    """The text at a path of the IMDS document, trimmed; "" when it is absent or something else."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document.strip(_XML_BLANKS) if isinstance(document, str) else ""


def medium_expected(imds):
    """Whether IMDS says that the medium holds something: custom data, or a password."""
    compute = imds.get("compute", {})
    extended = imds.get("extended", {})
    extended = extended.get("compute", {}) if isinstance(extended, dict) else {}
    custom = stated(extended.get("hasCustomData", "")) if isinstance(extended, dict) else None
    profile = compute.get("osProfile")
    disabled = profile.get("disablePasswordAuthentication", "") if isinstance(profile, dict) else ""
    return bool(custom), bool(custom) or stated(disabled) is False


def decide(imds, medium, vm_id):
    """What shall be done: IMDS before the medium, each value checked. Either may be None. Raises Failed."""
    wishes = Wishes()
    try:
        _fill(wishes, imds or {}, medium or Medium(), vm_id)
    except Failed as failure:
        failure.remarks = wishes.remarks
        raise
    return wishes


def _fill(wishes, imds, medium, vm_id):
    wishes.vm_id, wishes.device, wishes.document = vm_id, medium.device, medium.document
    wishes.vm_name = without_controls(text_at(imds, "compute", "name"))
    wishes.location = without_controls(text_at(imds, "compute", "location"))
    wishes.hostname = _decide_hostname(imds, medium, wishes.remarks)
    _refuse_pool(imds, medium)
    wishes.user, wishes.user_from = _decide_user(imds, medium)
    wishes.keys, wishes.bad_keys = _decide_keys(imds, medium, wishes.remarks)
    profile = imds.get("compute", {}).get("osProfile")
    disabled = stated(profile.get("disablePasswordAuthentication", "")) if isinstance(profile, dict) else None
    wishes.password_login = medium.password_login if disabled is None else not disabled
    wishes.password_wanted = bool(medium.password) or wishes.password_login is True
    if wishes.password_login is None and medium.password:
        wishes.password_login = True  # as waagent and cloud-init take it: who gives a password wants to use it
    if len(medium.password) > 72 or [letter for letter in "\n\r\0" if letter in medium.password]:
        raise Failed("unexpected metadata parsing ovf-env.xml: UserPassword")
    wishes.password = medium.password
    wishes.custom_data = _decoded("custom data", medium.custom_data, wishes.remarks)
    wishes.user_data = _decoded("user data", text_at(imds, "compute", "userData"), wishes.remarks)


def _decide_hostname(imds, medium, remarks):
    name = text_at(imds, "compute", "osProfile", "computerName")
    if name and not valid_hostname(name):
        raise Failed("invalid IMDS metadata for key=compute.osProfile.computerName", ("value", name))
    vm_name = text_at(imds, "compute", "name")
    # The medium has the computer name, too, which is not always the VM's: an old IMDS knows only that.
    if not name and medium.hostname and (valid_hostname(medium.hostname) or not valid_hostname(vm_name)):
        name = medium.hostname
        if not valid_hostname(name):
            raise Failed("unexpected metadata parsing ovf-env.xml: HostName", ("value", name))
    if not name and vm_name:
        if valid_hostname(vm_name):
            name = vm_name
        else:
            remarks.append("the VM's name %s cannot be a host name; the image's stays" % printable(vm_name))
    if len(name) > 64:
        remarks.append("host name %s is longer than 64 characters and was cut" % name)
    return fit_hostname(name)


def _refuse_pool(imds, medium):
    """A pre-provisioned VM gets its owner later, by a protocol that this program does not speak: say so at once."""
    pool = text_at(imds, "extended", "compute", "ppsType")
    pool = medium.pool if pool.lower() in ("", "none") else pool
    if pool:
        raise Failed("pre-provisioned VMs are not supported", ("ppsType", pool))


def _decide_user(imds, medium):
    """The admin's name, and the words with which a failure names its source."""
    name, source = text_at(imds, "compute", "osProfile", "adminUsername"), USER_FROM_IMDS
    if not name:
        name, source = medium.user, USER_FROM_MEDIUM
    if name and not valid_user(name):
        raise Failed(source, ("value", name))
    return name, source


USER_FROM_IMDS = "invalid IMDS metadata for key=compute.osProfile.adminUsername"
USER_FROM_MEDIUM = "unexpected metadata parsing ovf-env.xml: UserName"


def _decide_keys(imds, medium, remarks):
    """The usable keys of IMDS, else those of the medium; and what is wrong with each that is not usable."""
    listed = imds.get("compute", {}).get("publicKeys")
    items = listed if isinstance(listed, list) else []
    given = [item.get("keyData") if isinstance(item, dict) else None for item in items]
    bad = []
    for source, texts in (("IMDS", given), ("the medium", medium.keys)):
        keys = _usable_keys(source, texts, bad)
        if keys:
            break
    remarks += bad
    return keys, bad


def _usable_keys(source, texts, bad):
    keys, seen = [], []
    for index, text in enumerate(texts):
        parts = split_keys(text) if isinstance(text, str) else []
        if not parts:
            bad.append("key %d from %s is empty and was skipped" % (index, source))
        for part in parts:
            try:
                key = parse_key(part)
            except ValueError as error:
                bad.append("key %d from %s was skipped: %s" % (index, source, error))
                continue
            if key_identity(key) not in seen:
                seen.append(key_identity(key))
                keys.append(key)
    return keys


def key_identity(key):
    """Type and body of a key: two lines with the same are the same key."""
    return tuple(key[key_start(key) :].split(" ", 2)[:2])


def _decoded(what, text, remarks):
    if not text.strip():
        return b""
    try:
        return decode_base64(text)
    except ValueError:
        remarks.append("%s is not base64 and is kept as it came" % what)
        return text.encode("utf-8", "backslashreplace")


def missing_keys(existing, keys):
    """authorized_keys with `keys` added: what is there stays, and a key that is there in any form is not repeated."""
    present = set()
    for line in existing.decode("utf-8", "replace").splitlines():
        words = line.split()
        for index, word in enumerate(words[:-1]):
            if word in KEY_TYPES:
                present.add((word, words[index + 1]))
    added = [key for key in keys if key_identity(key) not in present]
    if existing and not existing.endswith(b"\n"):
        existing += b"\n"
    return existing + "".join([key + "\n" for key in added]).encode("utf-8", "replace"), len(added)


def hosts_with(text, name):
    """/etc/hosts with a line for `name` (127.0.1.1, as Debian does), or None when it has one."""
    lines = lines_of(text)
    fields = [line.partition("#")[0].split() for line in lines]
    if any(name.lower() in [word.lower() for word in words[1:]] for words in fields):
        return None
    short = name.partition(".")[0]
    line = "127.0.1.1 %s" % (name if short == name else name + " " + short)
    for index, words in enumerate(fields):
        if words[:1] == ["127.0.1.1"]:
            lines[index] = line
            break
    else:
        lines.append(line)
    return "\n".join(lines) + "\n"


def nss_services(nsswitch, database):
    """Where NSS looks for a database, by its first line in nsswitch.conf; none where that does not say."""
    for line in lines_of(nsswitch):
        if not line or line[0] == "#":  # most lines
            continue
        words = line.partition("#")[0].split()
        if words[:1] == [database + ":"]:
            return words[1:]
    return []


def knows_itself(nsswitch):
    """Whether NSS resolves the VM's own name without a line in /etc/hosts."""
    return "myhostname" in nss_services(nsswitch, "hosts")


def escape_xml(text):
    """Text for an XML element."""
    return carriable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_json(text):
    """Text for a JSON string."""
    return carriable(text).replace("\\", "\\\\").replace('"', '\\"')


def carriable(text):
    """`text` without what neither XML nor JSON can carry: control characters, lone surrogates, U+FFFE and U+FFFF."""
    return "".join([" " if c < " " or "\ud800" <= c <= "\udfff" or "\ufffe" <= c <= "\uffff" else c for c in text])


def description(reason, facts):
    """REASON|key=value|…, cut before escaping so that the escaped text keeps within the platform's 4,096 characters."""
    fields = [reason] + ["%s=%s" % (key, value) for key, value in facts]
    text = "|".join([printable(field.replace("|", " "), 1500) for field in fields])
    while len(escape_xml(text)) > DESCRIPTION_LIMIT:
        text = text[: len(text) - max(1, (len(escape_xml(text)) - DESCRIPTION_LIMIT) // 6)]
    return text


def health_xml(goal, state, substatus="", detail=""):
    """The XML health report (protocol 2012-11-30): the goal state's own ids and incarnation, and the state."""
    details = ""
    if substatus:
        details = "<Details><SubStatus>%s</SubStatus><Description>%s</Description></Details>" % (
            substatus, escape_xml(detail),
        )  # fmt: skip
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Health xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">'
        "<GoalStateIncarnation>%s</GoalStateIncarnation><Container><ContainerId>%s</ContainerId><RoleInstanceList>"
        "<Role><InstanceId>%s</InstanceId><Health><State>%s</State>%s</Health></Role>"
        "</RoleInstanceList></Container></Health>"
        % (escape_xml(goal.incarnation), escape_xml(goal.container), escape_xml(goal.instance), state, details)
    ).encode("utf-8")


def health_json(state, substatus="", detail=""):
    """The JSON health report, which needs no goal state."""
    if not substatus:
        return ('{"state":"%s"}' % state).encode()
    return (
        '{"state":"%s","details":{"subStatus":"%s","description":"%s"}}' % (state, substatus, escape_json(detail))
    ).encode("utf-8")


def kvp_record(key, value):
    """One record of a Hyper-V key-value pool: NUL-padded UTF-8, the value cut between characters to what is safe."""
    data = value.encode("utf-8", "replace")[:KVP_SAFE].decode("utf-8", "ignore").encode("utf-8")
    return key.encode().ljust(KVP_KEY, b"\0") + data.ljust(KVP_VALUE, b"\0")


def retry_after(response):
    """Seconds that the platform asks to wait, or None. A date counts from the answer's own date, not from our clock."""
    value = response.headers.get("retry-after", "")
    if is_number(value, 0, 999999):
        return float(value)
    then, now = http_date(value), http_date(response.headers.get("date", ""))
    return float(max(0, then - now)) if then and now else None


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(text):
    """Seconds since 1970 of "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), or None."""
    words = text.split()
    clock = words[4].split(":") if len(words) == 6 else ()
    if (
        len(clock) != 3
        or words[2] not in MONTHS
        or not all(is_number(n, 0, 9999) for n in clock + [words[1], words[3]])
    ):
        return None
    days = days_since_1970(int(words[3]), MONTHS.index(words[2]) + 1, int(words[1]))
    return ((days * 24 + int(clock[0])) * 60 + int(clock[1])) * 60 + int(clock[2])


def days_since_1970(year, month, day):
    """The number of a day of the Gregorian calendar."""
    month = (month + 9) % 12  # a year that begins in March ends with the leap day
    year -= month >= 10
    return 365 * year + year // 4 - year // 100 + year // 400 + (month * 306 + 5) // 10 + day - 719469


class Pace:
    """How long to wait before the next try: grows by half from one try to the next, up to a cap."""

    __slots__ = ("first", "cap", "next")

    def __init__(self, first, cap):
        self.first, self.cap, self.next = first, cap, first

    def step(self):
        now, self.next = self.next, min(self.cap, self.next * 1.5)
        return now


# ---------------------------------------------------------------------------------------------------------------------
# Edges: everything that has an effect, or depends on anything but its arguments.
# ---------------------------------------------------------------------------------------------------------------------


def say(text):
    """One fact, one line, on stderr: the journal and the serial console show it."""
    line = (printable(text, 2000) + "\n").encode("utf-8", "backslashreplace")
    try:
        posix.write(2, line)
    except OSError:
        pass


def warn(text):
    say("warning: " + text)


class TimeLimit(Exception):
    """A program ran longer than it may."""


class CommandFailed(Exception):
    """A program ended with an error; says which, how, and its last two lines: useradd's last alone says nothing."""

    def __init__(self, name, status, output):
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
        said = printable("; ".join(lines[-2:]))
        Exception.__init__(self, "%s: exit %d%s" % (name, status, ": " + said if said else ""))
        self.status, self.output = status, output


def write_all(descriptor, data):
    while data:
        data = data[posix.write(descriptor, data) :]


def read_all(descriptor, limit):
    """Everything up to the end, at most `limit` bytes."""
    pieces, size = [], 0
    while size <= limit:
        piece = posix.read(descriptor, 65536)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)[:limit]


def write_in(folder, name, data, mode, owner=None, check=None):
    """Write a file into an open folder whole or not at all: its mode and owner are right before its content is seen.

    `check(path-less temporary name)` may raise to keep the file as it was. The caller syncs the folder.
    """
    temporary = "." + name + ".azp-tmp"
    try:
        posix.unlink(temporary, dir_fd=folder)
    except FileNotFoundError:
        pass
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW
    descriptor = posix.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        if owner and posix.geteuid() == 0:
            posix.fchown(descriptor, owner[0], owner[1])
        posix.fchmod(descriptor, mode)
        write_all(descriptor, data)
        posix.fsync(descriptor)
        if check:
            check(temporary)
        posix.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        posix.unlink(temporary, dir_fd=folder)
        raise
    finally:
        posix.close(descriptor)


class Tree:
    """This machine, or the tree under --root: reads and writes its files, runs its programs. A dry run only says so."""

    def __init__(self, root, dry_run):
        # programs that take the tree's place want it whole
        self.root = (
            "" if root == "/" else root.rstrip("/") if root[:1] == "/" else posix.getcwd() + "/" + root.rstrip("/")
        )
        self.live = not self.root
        self.dry_run = dry_run
        self._unsynced = set()

    def at(self, path):
        """Where it is on this machine. Files of the image may name paths that no file system can have."""
        if "\0" in path:
            raise FileNotFoundError(errno.ENOENT, "a name with a NUL", path)
        return self.root + path

    def exists(self, path):
        try:
            posix.stat(self.at(path))
        except OSError:
            return False
        return True

    def read(self, path, limit=SIZE_LIMIT):
        """The content of a file, or None when there is none."""
        try:
            descriptor = posix.open(self.at(path), posix.O_RDONLY | posix.O_NONBLOCK)
        except OSError:
            return None
        try:
            return read_all(descriptor, limit)
        except OSError:
            return None
        finally:
            posix.close(descriptor)

    def dangles(self, path):
        """Whether a symbolic link leads nowhere."""
        try:
            posix.readlink(self.at(path))
        except OSError:
            return False
        return not self.exists(path)

    def text(self, path):
        """The content of a text file, "" when there is none; bytes that are no UTF-8 as surrogates."""
        return (self.read(path) or b"").decode("utf-8", "surrogateescape")

    def names(self, path):
        """The sorted names in a folder; none when it is not there."""
        try:
            return sorted(posix.listdir(self.at(path)))
        except OSError:
            return []

    def write(self, path, data, mode=0o644, check=None, owner=None):
        """Make a file hold `data`; tells whether it did not already. The folder is synced by `sync`.

        `mode` None: as the file has it, and its owner, too.
        """
        if mode is None:
            try:
                status = posix.stat(self.at(path))
                mode, owner = status.st_mode & 0o7777, (status.st_uid, status.st_gid)
            except FileNotFoundError:
                mode = 0o644
        if self._is(path, data, mode):
            return False
        if self.dry_run:
            say("would write %s" % path)
            return True
        folder, _, name = path.rpartition("/")
        descriptor = posix.open(self.at(folder), posix.O_RDONLY | posix.O_DIRECTORY)
        try:
            look = check and (lambda tmp: check(self.at(folder + "/" + tmp)))
            write_in(descriptor, name, data, mode, owner, look)
        finally:
            posix.close(descriptor)
        self._unsynced.add(folder)
        return True

    def _is(self, path, data, mode):
        try:
            status = posix.lstat(self.at(path))
        except OSError:
            return False
        return status.st_mode == 0o100000 | mode and status.st_size == len(data) and self.read(path) == data

    def rewrite(self, path, text, check=None):
        """Make a text file hold `text`, with the mode and the owner that it has."""
        return self.write(path, text.encode("utf-8", "surrogateescape"), None, check)

    def is_fixed(self, path):
        """Whether a folder is on a read-only file system."""
        try:
            return bool(posix.statvfs(self.at(path)).f_flag & 1)  # ST_RDONLY
        except OSError:
            return False

    def touched(self, folder):
        """Names in a folder changed by other means than ours: `sync` syncs it, too."""
        self._unsynced.add(folder)

    def sync(self):
        """Make the folders written to durable."""
        for folder in sorted(self._unsynced):
            descriptor = posix.open(self.at(folder), posix.O_RDONLY | posix.O_DIRECTORY)
            posix.fsync(descriptor)
            posix.close(descriptor)
        self._unsynced.clear()

    def folder(self, path, mode):
        """Make a folder, parents as needed, and give it its mode."""
        if self.dry_run:
            return
        try:
            if posix.stat(self.at(path)).st_mode & 0o7777 != mode:
                posix.chmod(self.at(path), mode)
        except FileNotFoundError:
            parent = path.rpartition("/")[0]
            if not self.exists(parent or "/"):
                self.folder(parent, 0o755)
            posix.mkdir(self.at(path), mode)
            posix.chmod(self.at(path), mode)
            if not path.startswith("/run/"):  # which is memory
                self._unsynced.add(parent or "/")

    def remove(self, path):
        """Remove a file; tells whether there was one."""
        try:
            posix.lstat(self.at(path))
            if self.dry_run:
                say("would remove %s" % path)
            else:
                posix.unlink(self.at(path))
        except FileNotFoundError:
            return False
        return True

    def link(self, path, other):
        """Give a file a second name in the same folder."""
        posix.link(self.at(path), self.at(other))
        self._unsynced.add(other.rpartition("/")[0])

    def tool(self, name):
        """The path of a program on PATH (without one: in the usual folders), or ""."""
        given = posix.environ.get(b"PATH", b"").decode("utf-8", "replace")
        for folder in given.split(":") if given else _FOLDERS:
            path = folder + "/" + name
            if folder.startswith("/") and posix.access(path, posix.X_OK):
                return path
        return ""

    def has_tool(self, name):
        """Whether the tree itself has a program."""
        return any(self.exists(folder + "/" + name) for folder in _ANYWHERE)

    def run(self, words, stdin=b"", limit=COMMAND_LIMIT):
        """Run a program, found on PATH, and return its output. Raises CommandFailed, TimeLimit."""
        if self.dry_run:
            say("would run %s" % " ".join(words))
            return b""
        path = words[0] if words[0].startswith("/") else self.tool(words[0])
        if not path:
            raise CommandFailed(words[0], 127, b"not found")
        status, output = spawn(path, words, stdin, limit)
        if status:
            raise CommandFailed(words[0], status, output)
        return output


_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
_ANYWHERE = ("/usr/bin", "/usr/sbin", *_FOLDERS)  # the likely ones first, where the place does not matter


def spawn(path, words, stdin=b"", limit=COMMAND_LIMIT, environment=None, show=False):
    """Run a program in a process group of its own; returns (exit status, output). With `show` its output goes to ours.

    Raises TimeLimit after killing the group.
    """
    import _signal

    if environment is None:  # what the image's programs say is read, and told: not in the image's language
        environment = dict(posix.environ)
        environment[b"LC_ALL"] = b"C"
    out_read, out_write = posix.pipe()
    in_read, in_write = posix.pipe()
    write_all(in_write, stdin)  # less than a pipe holds
    posix.close(in_write)
    try:
        child = _start(path, words, environment, in_read, 2 if show else out_write)
    except OSError:
        posix.close(out_read)
        raise
    finally:
        posix.close(in_read)
        posix.close(out_write)

    def ring(*_):
        raise TimeLimit

    previous = _signal.signal(_signal.SIGALRM, ring)
    _signal.setitimer(_signal.ITIMER_REAL, limit)
    try:
        output = b"" if show else read_all(out_read, 65536)
        status = posix.waitpid(child, 0)[1]
    except TimeLimit:
        posix.kill(-child, 9)
        posix.waitpid(child, 0)
        raise
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.signal(_signal.SIGALRM, previous)
        posix.close(out_read)
    if posix.WIFSIGNALED(status):
        return 128 + posix.WTERMSIG(status), output
    return posix.WEXITSTATUS(status), output


def _start(path, words, environment, stdin, stdout):
    if hasattr(posix, "posix_spawn"):  # Python 3.8 and newer
        return posix.posix_spawn(
            path,
            words,
            environment,
            file_actions=[
                (posix.POSIX_SPAWN_DUP2, stdin, 0),
                (posix.POSIX_SPAWN_DUP2, stdout, 1),
                (posix.POSIX_SPAWN_DUP2, stdout, 2),
            ],
            setpgroup=0,
        )
    child = posix.fork()
    if child:
        return child
    try:
        posix.setpgid(0, 0)
        for source, target in ((stdin, 0), (stdout, 1), (stdout, 2)):
            posix.dup2(source, target) if source != target else posix.set_inheritable(target, True)
        posix.execve(path, words, environment)
    finally:
        posix._exit(127)


def account(tree, name):
    """The account of that name, or None. On a live machine NSS is asked, too, as login does, where it looks further."""
    begin = name + ":"
    for path in ("/etc/passwd", "/usr/lib/passwd"):
        text = tree.text(path)
        for line in lines_of(text) if begin in text else ():
            if not line.startswith(begin):
                continue
            fields = line.split(":")
            if len(fields) == 7 and is_number(fields[2], 0, 1 << 32):
                return Account(name, int(fields[2]), int(fields[3]), fields[5], fields[6])
    if tree.live and nss_services(tree.text("/etc/nsswitch.conf"), "passwd") != ["files"]:
        return nss_account(name)
    return None


def nss_account(name):
    """The account as login and sshd find it, wherever NSS looks; None where they do not."""
    import pwd

    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


def groups_of(tree):
    """Group name -> members, from /etc/group."""
    groups = {}
    for line in lines_of(tree.text("/etc/group")):
        fields = line.split(":")
        if len(fields) == 4:
            groups[fields[0]] = fields[3].split(",")
    return groups


def fetch(address, method, target, headers, body=b""):
    """One HTTP request on a connection of its own. Raises OSError, or ValueError for what is no HTTP answer."""
    import _socket

    host, port = address
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: %s" % (host if port == 80 else "%s:%d" % (host, port))]
    lines += ["User-Agent: %s/%s" % (AGENT, VERSION), "Accept: */*", "Connection: close"]
    lines += ["%s: %s" % pair for pair in headers]
    if method == "POST":
        lines.append("Content-Length: %d" % len(body))
    request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    if host == IMDS[7:]:
        try:  # the mark that lets a program of the system through where systemd (261 and newer) has locked this route
            connection.setsockopt(_socket.SOL_SOCKET, 36, 0x7FFF0815)
        except OSError:
            pass
    try:
        connection.settimeout(CONNECT_LIMIT)
        connection.connect((host, port))
        until = time.monotonic() + ANSWER_LIMIT
        connection.settimeout(ANSWER_LIMIT)
        connection.sendall(request)
        data = b""
        while True:
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise _socket.timeout("timed out")
            connection.settimeout(remaining)
            piece = connection.recv(65536)
            data += piece
            if len(data) > SIZE_LIMIT + 65536:
                raise ValueError("the answer is too large")
            response = parse_response(data, not piece)
            if response:
                return response
    finally:
        connection.close()


UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN)


class Network:
    """Waiting for the network: the kernel says on netlink when an address or a route appears.

    The subscription is opened before the first connection is tried, so that no change is missed in between.
    """

    def __init__(self):
        import _socket

        # RTNETLINK groups (linux/rtnetlink.h): 0x10 IPv4 addresses, 0x40 IPv4 routes
        self._changes = None
        try:
            changes = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
            changes.bind((0, 0x10 | 0x40))
            self._changes = changes
        except OSError:  # then by trying again
            pass
        self._slow = Pace(0.5, 5.0)
        self._quick = Pace(0.05, 1.0)

    def pause(self, problem, until):
        """Wait before the next try, as long as `problem` suggests, never beyond `until`."""
        remaining = max(0.0, until - time.monotonic())
        if problem.unreachable and self._changes:
            self._await_change(min(1.0, remaining))
        elif problem.response:
            asked = retry_after(problem.response)
            # a wait that goes beyond the end leaves time for one last try
            wait = self._slow.step() if asked is None else min(asked, max(0.0, remaining - 5.0))
            time.sleep(min(wait, remaining))
        else:
            time.sleep(min(self._quick.step(), remaining))

    def _await_change(self, seconds):
        self._changes.settimeout(max(seconds, 0.001))
        try:
            self._changes.recv(65536)
        except OSError:
            pass


class Problem:
    """Why a try failed: the reason that users know, a short text, and what the next wait depends on."""

    __slots__ = ("reason", "text", "unreachable", "response")

    def __init__(self, reason, text, unreachable=False, response=None):
        self.reason, self.text, self.unreachable, self.response = reason, text, unreachable, response


def try_fetch(address, method, target, headers, body=b""):
    """`fetch`, with every failure as a Problem: returns (response, None) or (None, problem)."""
    try:
        return fetch(address, method, target, headers, body), None
    except OSError as error:
        text = error.strerror or "timed out"
        if error.errno in UNREACHABLE:
            return None, Problem("failure to obtain DHCP lease", text, unreachable=True)
        return None, Problem("connection timeout querying IMDS", text)
    except ValueError as error:
        return None, Problem("error parsing IMDS metadata", str(error))


class Teller:
    """Says what went wrong once, and again only when it changes: hundreds of tries make a few lines."""

    def __init__(self, who):
        self._who, self._last = who, None

    def tell(self, text):
        if text != self._last:
            say("%s: %s" % (self._who, text))
            self._last = text


def ask_imds(address, old):
    """One try at the IMDS document: (document, None) or (None, problem)."""
    version = "2019-06-01" if old else "2021-08-01&extended=true"
    response, problem = try_fetch(
        address, "GET", "/metadata/instance?api-version=" + version, [("Metadata", "true")]
    )  # fmt: skip
    if problem:
        return None, problem
    if response.status != 200:
        reason = "http error %d querying IMDS" % response.status
        return None, Problem(reason, str(response), response=response)
    try:
        document = parse_imds(response.body)
    except ValueError as error:
        return None, Problem("error parsing IMDS metadata", printable(str(error)), response=response)
    say("IMDS: %s, %d bytes" % (response, len(response.body)))
    return document, None


def gather(tree, options, settings, network, until):
    """Read the medium and IMDS, waiting for either until `until`. Returns (imds, medium), one of them may be None."""
    address = parse_url(options.imds)
    started, teller, refused = time.monotonic(), Teller("IMDS"), set()
    medium = read_medium(tree, options, refused)
    signed = bool(medium) and await_proxy_agent(tree, medium)
    say("IMDS: GET %s/metadata/instance?api-version=2021-08-01&extended=true" % options.imds.rstrip("/"))
    imds, problem, old = None, None, False
    while imds is None:
        if signed or not final(problem):
            imds, problem = ask_imds(address, old)
        if imds is not None:
            break
        teller.tell(problem.text)
        if problem.response and problem.response.status == 400 and not old:
            old = True
            continue
        patience = until
        if medium:
            patience = started if final(problem) and not signed else started + int(settings["IMDS_WAIT"])
        elif final(problem):
            patience = started + int(settings["MEDIUM_WAIT"])
        patience = min(patience, until)
        if time.monotonic() >= patience:
            break
        network.pause(problem, patience)
        if not medium:
            medium = read_medium(tree, options, refused)
            signed = bool(medium) and await_proxy_agent(tree, medium)
    if imds is None and medium is None:
        raise Failed(problem.reason, ("error", problem.text), ("url", options.imds))
    if imds is not None and medium is None and settings["PROVISIONDATA"] == "auto":
        medium = ask_provisiondata(tree, options, network, min(until, time.monotonic() + int(settings["IMDS_WAIT"])))
    if imds is not None and medium is None:
        medium = await_medium(tree, options, settings, imds, until, refused)
    if settings["REQUIRE_CUSTOM_DATA"] == "yes" and medium_expected(imds or {})[0]:
        if not (medium and medium.custom_data.strip()):
            raise Failed("failure to read customData while hasCustomData=true")
    there = medium and medium.device
    say("medium: " + ("%s, ovf-env.xml of %d bytes" % (medium.device, len(medium.document)) if there else "none"))
    return imds, medium


def ask_provisiondata(tree, options, network, until):
    """A proposal of 2026, in three forms: the WireServer has what the medium would hold. None where this host has not,
    as all hosts of today: then there is the medium."""
    address = parse_url(options.wireserver) if options.wireserver else (leased_wireserver(tree) or WIRESERVER, 80)

    def got(path):
        while True:
            target = "/provisiondata%s?api-version=2026-01-01" % path
            response, problem = try_fetch(address, "GET", target, [("Metadata", "true")])
            problem = problem or Problem("", str(response), response=response)
            say("provisiondata%s: %s" % (path, problem.text))
            if not response or response.status not in (401, 429, 503) or time.monotonic() >= until:
                return (response.status, response.body) if response else (0, b"")
            network.pause(problem, until)

    status, body = got("")
    if status == 404:
        custom_data, password = got("/customData"), got("/adminPassword")
        parts = [answer[1] if answer[0] == 200 else b"null" for answer in (custom_data, password)]
        body = b'{"customData": %s, "adminPassword": %s}' % tuple(parts)
    elif status != 200:
        return None
    return parse_provisiondata(body)


def parse_provisiondata(body):
    """A document as on the medium, or JSON, of which only what IMDS has not is taken. It is not kept."""
    if body.lstrip().startswith(b"<"):
        medium = _parse_medium(body, "")
        medium.document = b""
        return medium
    try:
        found = read_json(without_mark(body).decode())
        if not isinstance(found, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise Failed("error parsing provisiondata", ("error", printable(str(error)))) from None
    medium = Medium()
    medium.password, medium.custom_data = text_at(found, "adminPassword"), text_at(found, "customData")
    return medium


def final(problem):
    """IMDS will not answer otherwise, however often it is asked."""
    return bool(problem and problem.response and problem.response.status in (401, 403))


def await_proxy_agent(tree, medium):
    """Where the VM has the Metadata Security Protocol on, nobody is answered before Microsoft's agent signs requests.

    Returns whether it is on: then a 401 means "not yet". Raises Failed where the image lacks the agent.
    """
    if not medium.proxy_agent:
        return False
    if not (tree.tool(OWN_PROXY) if tree.live else tree.has_tool(OWN_PROXY)):
        raise Failed(OWN_PROXY + " not found", ("error", "the VM wants signed requests (ProvisionGuestProxyAgent)"))
    if tree.live:
        try:
            tree.run([OWN_PROXY, "--status", "--wait", "120"], limit=COMMAND_LIMIT + 10)
            say(OWN_PROXY + ": ready")
        except (CommandFailed, TimeLimit) as error:
            warn("%s is not ready: %s" % (OWN_PROXY, error))
    return True


def await_medium(tree, options, settings, imds, until, refused):
    """The medium may come later than the network. Wait for it when IMDS says that it holds something."""
    custom_data, expected = medium_expected(imds)
    if not expected or options.medium == "none":
        return None
    until = min(until, time.monotonic() + int(settings["MEDIUM_WAIT"]))
    while time.monotonic() < until:
        time.sleep(0.2)
        medium = read_medium(tree, options, refused)
        if medium:
            return medium
    if custom_data:
        warn("failure to read customData while hasCustomData=true: no provisioning medium was found")
    else:
        warn("the owner wants a password, which comes on the provisioning medium, and none was found")
    return None


def read_medium(tree, options, refused):
    """Find and read the provisioning medium; None when there is none (yet). `refused`: discs that are none."""
    if options.medium == "none":
        return None
    if options.medium:
        return _read_medium_at(tree, options.medium, refused)
    if not tree.live:
        return None
    for name in sorted(tree.names("/sys/block"), key=lambda name: (not name.startswith("sr"), name)):
        if name.startswith(("loop", "ram", "zram", "dm-", "md", "fd", "nbd")):
            continue
        medium = _read_medium_at(tree, "/dev/" + name, refused)
        if medium:
            return medium
    return None


def _read_medium_at(tree, path, refused):
    try:
        mode = posix.stat(path).st_mode
    except OSError:
        return None
    if S_ISDIR(mode):
        return _parse_medium(_read_capped(path + "/ovf-env.xml"), path)
    if path in refused or tree.dry_run or not _is_optical(path):
        return None
    folder = RUN + "/medium"
    tree.folder(RUN, 0o700)
    _unmount_left(tree, folder)
    tree.folder(folder, 0o700)
    try:
        tree.run(["mount", "-o", "ro,nosuid,nodev,noexec", "-t", "udf,iso9660", path, tree.at(folder)])
    except (CommandFailed, TimeLimit) as error:
        warn("%s: %s" % (path, error))
        refused.add(path)
        return None
    document = _read_capped(tree.at(folder) + "/ovf-env.xml")
    try:
        tree.run(["umount", tree.at(folder)])
    except (CommandFailed, TimeLimit) as error:
        warn("%s stays mounted: %s" % (path, error))
    if document is None:
        has_udf = "udf" in tree.text("/proc/filesystems").split()
        warn("%s: no ovf-env.xml%s" % (path, "" if has_udf else " to be seen: this kernel has no UDF"))
        refused.add(path)
    return _parse_medium(document, path)


def _unmount_left(tree, folder):
    """A run that was killed, as the unit that names the host is after ten seconds, may have left the medium there."""
    try:
        there = posix.stat(tree.at(folder)).st_dev != posix.stat(tree.at(RUN)).st_dev
    except OSError:
        return
    if there:
        try:
            tree.run(["umount", "-l", tree.at(folder)])
        except (CommandFailed, TimeLimit) as error:
            warn("%s stays mounted: %s" % (folder, error))


def _is_optical(path):
    """Whether a device holds ISO 9660 or UDF: their first volume descriptor is at 32 KiB (ECMA-119, ECMA-167)."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK)
    except OSError:
        return False
    try:
        return posix.pread(descriptor, 5, 32769) in (b"CD001", b"BEA01")
    except OSError:  # no medium in the drive
        return False
    finally:
        posix.close(descriptor)


def _read_capped(path):
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return read_all(descriptor, SIZE_LIMIT + 1)
    finally:
        posix.close(descriptor)


def _parse_medium(document, device):
    if document is None:
        return None
    try:
        medium = parse_medium(document)
    except ValueError as error:
        raise Failed("error parsing ovf-env.xml", ("error", error)) from None
    medium.device = device
    return medium


LEASES = (
    "/run/systemd/netif/leases", "/run/NetworkManager/devices", "/run/NetworkManager", "/var/lib/NetworkManager",
    "/var/lib/dhcp", "/var/lib/dhclient", "/run", "/var/lib/dhcpcd", "/run/dhcpcd", "/run/udhcpc", "/var/lib/udhcpc",
)  # fmt: skip


def leased_wireserver(tree):
    """The WireServer's address by the newest lease of this boot that is valid, or "". No lease can stop a report."""
    boot = boot_time() - 60  # the clock may have been set meanwhile
    interfaces = tree.names("/sys/class/net")
    newest, address = 0, ""
    for folder in LEASES:
        for name in tree.names(folder):
            if folder.endswith(("/leases", "/devices")) or "lease" in name or "udhcpc" in folder:
                path = folder + "/" + name
                try:
                    written = posix.stat(tree.at(path)).st_mtime
                    if written <= newest or (written < boot and not folder.startswith("/run")):
                        continue
                    found = lease_option_245(tree.read(path) or b"", written, interfaces)
                except (OSError, ValueError):
                    continue
                if found:
                    newest, address = written, found
    return address or _ask_networkd(tree)


def _ask_networkd(tree):
    """networkd of systemd 261 and newer keeps its leases to itself, but tells them."""
    if not tree.live or tree.names("/run/systemd/netif/leases") or not tree.names("/run/systemd/netif/links"):
        return ""
    try:
        told = spawn(tree.tool("networkctl"), ["networkctl", "--json=short", "status"], b"", 5.0)[1]
        return networkctl_option_245(told.decode("utf-8", "replace"))
    except (OSError, ValueError, TimeLimit):
        return ""


def boot_time():
    """When this machine was started, in seconds since 1970."""
    clock = getattr(time, "clock_gettime", None)
    return time.time() - clock(7) if clock else 0  # CLOCK_BOOTTIME


# ---------------------------------------------------------------------------------------------------------------------
# Steps: each brings one part of the tree in line with the wishes, leaves alone what is right already, and returns a
# line that says what it did. Each may raise Failed, CommandFailed, TimeLimit or OSError.
# ---------------------------------------------------------------------------------------------------------------------


def step_hostname(tree, wishes, settings):
    name = wishes.hostname
    if not name:
        return "nobody names this VM; the image's host name stays"
    try:
        changed = tree.write("/etc/hostname", name.encode() + b"\n")
        if not knows_itself(tree.text("/etc/nsswitch.conf")):
            hosts = hosts_with(tree.text("/etc/hosts") or "127.0.0.1 localhost\n", name)
            if hosts is not None:
                changed = tree.write("/etc/hosts", hosts.encode()) or changed
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        warn("/etc is read-only: the host name is set for this boot only")
        changed = True
    before = posix.uname().nodename
    if tree.live and before != name and not tree.dry_run:
        import _socket

        _socket.sethostname(name)
        _redraw_prompts()
        return "%s (was %s)" % (name, before)
    return name if changed else name + " already"


def _redraw_prompts():
    """Have login prompts drawn again with the new name: agetty watches this file (agetty --reload touches it)."""
    try:
        descriptor = posix.open("/run/agetty.reload", posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW, 0o644)
        posix.utime("/run/agetty.reload")
        posix.close(descriptor)
    except OSError:
        pass


def step_user(tree, wishes, settings):
    name = wishes.user
    if not name:
        return "no user name: users and keys are skipped"
    was_cut = _clear_locks(tree)
    was_cut = tree.exists(BEGUN) or was_cut
    present = account(tree, name)
    if present:
        _refuse_system_account(tree, wishes, present)
        was_cut = _complete_account(tree, present, was_cut) or was_cut
    wanted = _wanted_groups(tree, settings["GROUPS"])
    known = groups_of(tree)
    if present is None and tree.is_fixed("/etc"):
        raise Failed("failure in step user", ("error", "/etc is read-only, and %s is not in the image" % name))
    if present is None:
        _make_room_for_homes(tree)
        present = _make_account(tree, name, wanted, name in known, settings)
        created = "created"
    else:
        lacking = [group for group in wanted if name not in known[group]]
        if lacking and tree.is_fixed("/etc"):
            warn("/etc is read-only: %s does not join %s" % (name, ",".join(lacking)))
        elif lacking:
            _join_groups(tree, name, lacking)
        created = "exists"
    if present:
        created += _settle_home(tree, present, was_cut)
        if created.startswith("created"):
            _sync_copied(tree, "/etc/skel", present.home)
    tree.remove(BEGUN)
    return "%s %s, uid %s, groups %s" % (name, created, present.uid if present else "?", ",".join(wanted) or "none")


def _make_account(tree, name, groups, own_group_exists, settings):
    """useradd, marked as long as it is not known how it ended. Returns the account, None in a dry run."""
    _begin(tree)
    try:
        _add_user(tree, name, groups, own_group_exists, _shell(tree, settings["SHELL"]))
        present = account(tree, name)
        if present is None and not tree.dry_run:
            raise Failed("failure in step user", ("error", "the account is not there after useradd"))
    except Exception:
        tree.remove(BEGUN)  # it has ended, and cleaned up after itself
        raise
    return present


BEGUN = "/etc/.azure-provisioning-begun"


def _begin(tree):
    """Mark that an account is being made: after a power cut, the next boot completes what belongs to it.

    On the disk before useradd begins: btrfs keeps what useradd syncs without keeping what was made before.
    """
    if not tree.dry_run:
        descriptor = posix.open(tree.at(BEGUN), posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW, 0o600)
        posix.fsync(descriptor)
        posix.close(descriptor)
        tree.touched("/etc")


def _shell(tree, wish):
    for shell in (wish, "/bin/bash"):
        if shell and tree.exists(shell):
            return shell
        if wish == shell and wish:
            warn("the image has no %s: its usual shell is taken" % wish)
    return "/bin/sh"


def _wanted_groups(tree, setting):
    """The groups for the admin that exist; those of /usr/lib/group are copied to /etc/group, which can be written."""
    known, wanted = groups_of(tree), []
    vendors = {line.partition(":")[0]: line for line in lines_of(tree.text("/usr/lib/group"))}
    for group in setting.split(",") if setting else GROUPS:
        if group not in known and group in vendors and not tree.is_fixed("/etc"):
            line = ":".join(vendors[group].split(":")[:3]) + ":"
            tree.rewrite("/etc/group", with_line(tree.text("/etc/group"), line))
            known = groups_of(tree)
        if group in known:
            wanted.append(group)
        elif setting:
            warn("the image has no group %s" % group)
    return wanted


def _refuse_system_account(tree, wishes, owner):
    """An account of the image's own is nobody's to log in with: its home, and the keys in it, are another's."""
    why = ""
    if owner.uid < uid_min(tree.text("/etc/login.defs") or tree.text("/usr/etc/login.defs")) or owner.uid == 65534:
        why = "uid %d" % owner.uid
    elif not own_home(owner.home) or owner.home in _homes_of_others(tree, owner.name):
        why = "home %s" % owner.home
    if why:
        error = "%s is a system account of this image (%s)" % (owner.name, why)
        raise Failed(wishes.user_from or USER_FROM_IMDS, ("value", owner.name), ("error", error))


def _homes_of_others(tree, name):
    lines = [line.split(":") for line in lines_of(tree.text("/etc/passwd"))]
    return [fields[5].rstrip("/") for fields in lines if len(fields) == 7 and fields[0] != name]


def _add_user(tree, name, groups, own_group_exists, shell):
    if not tree.tool("useradd"):
        if not tree.tool("adduser"):
            raise Failed("failure in step user", ("error", "neither useradd nor adduser is there"))
        # busybox: its own options, and no way to name a tree but to go there
        tree.run(_there(tree) + ["adduser", "-D", "-s", shell] + (["-G", name] if own_group_exists else []) + [name])
        if groups:
            _join_groups(tree, name, groups)
        return
    words = ["useradd"] + _prefix(tree) + ["--create-home", "--shell", shell]
    if groups:
        words += ["--groups", ",".join(groups)]
    if own_group_exists:
        words += ["--gid", name]
    try:
        tree.run(words + [name])
    except CommandFailed as error:
        if error.status not in (3, 19):  # an invalid name, before shadow 4.15 and since
            raise
        warn("%s; trying again" % error)
        for flag in ("--badname", "--badnames"):  # since shadow 4.9, and before
            try:
                tree.run(words + [flag, name])
                return
            except CommandFailed:
                pass
        raise


def _join_groups(tree, name, groups):
    """Put a user into groups; busybox takes them one at a time."""
    if tree.tool("usermod"):
        tree.run(["usermod"] + _prefix(tree) + ["-a", "-G", ",".join(groups), name])
        return
    for group in groups:
        tree.run(_there(tree) + ["addgroup", name, group])


def _prefix(tree):
    return [] if tree.live else ["--prefix", tree.root]


def _there(tree):
    return [] if tree.live else ["chroot", tree.root]


ACCOUNT_FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
ACCOUNT_TOOLS = (
    "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "gpasswd", "passwd", "chpasswd", "chage",
    "chsh", "chfn", "vipw", "vigr", "pwconv", "pwck", "grpconv", "grpck", "newusers", "adduser", "addgroup",
)  # fmt: skip


def _clear_locks(tree):
    """Remove what a power cut left of the account tools: locks whose process is gone, and files not yet renamed.

    Returns whether there was any. A lock holds the number of its process, which another boot may have given to anybody.
    """
    names = [name for name in tree.names("/etc") if name.startswith(ACCOUNT_FILES)]
    found = False
    for name in ACCOUNT_FILES:
        if name + ".lock" in names:
            if _lock_lives(tree, "/etc/%s.lock" % name):
                continue
            found = tree.remove("/etc/%s.lock" % name) or found
            say("user: /etc/%s.lock is of no process that lives, and was removed" % name)
        for rest in names:
            stem, dot, number = rest.partition(".")
            if rest == name + "+" or stem == name and dot and is_number(number):
                found = tree.remove("/etc/" + rest) or found
    return found


def _lock_lives(tree, path):
    """Whether a lock was made in this boot, by a process that still runs and is an account tool."""
    try:
        made = posix.lstat(tree.at(path)).st_mtime
    except OSError:
        return False
    number = tree.text(path).strip("\0\n ")
    if made < boot_time() - 60 or not is_number(number):
        return False
    try:
        with_comm = posix.open("/proc/%s/comm" % number, posix.O_RDONLY)
    except OSError:
        return False
    command = read_all(with_comm, 64).decode("utf-8", "replace").strip()
    posix.close(with_comm)
    return command in ACCOUNT_TOOLS


def _complete_account(tree, owner, was_cut):
    """Write what useradd had not written when the power went; returns whether anything lacked."""
    if tree.is_fixed("/etc"):
        return False
    texts = {name: tree.text("/etc/" + name) for name in ACCOUNT_FILES if tree.exists("/etc/" + name)}
    lacking = completed(texts, owner, int(time.time() // 86400), was_cut)
    for name in [name for name in ACCOUNT_FILES if name in lacking]:
        tree.rewrite("/etc/" + name, lacking[name])
        say("user: /etc/%s had no entry for %s" % (name, owner.name))
    return bool(lacking)


def _make_room_for_homes(tree):
    """The folder that holds the homes, where it is a link to one that is not there yet (ostree, bootc: var/home)."""
    if tree.exists("/home") or tree.dry_run:
        return
    path = "/home"
    for _ in range(8):
        try:
            target = posix.readlink(tree.at(path))
        except OSError:
            break
        path = target if target.startswith("/") else path.rpartition("/")[0] + "/" + target
    tree.folder(path, 0o755)
    if path != "/home":
        say("user: made %s, which /home names" % path)


def _settle_home(tree, owner, was_cut):
    """The home is there, is the user's, and nobody else can write into it: sshd reads no keys otherwise."""
    done = ""
    try:
        status = posix.stat(tree.at(owner.home))
    except OSError:
        if tree.dry_run:
            say("would make %s" % owner.home)
            return ""
        _make_room_for_homes(tree)
        tree.folder(owner.home, 0o700)
        status, was_cut, done = posix.stat(tree.at(owner.home)), True, ", home made anew"
    if tree.dry_run:
        return done
    if was_cut:  # useradd makes it with no mode at all, and gives it one at the end
        posix.chmod(tree.at(owner.home), home_mode(tree.text("/etc/login.defs") or tree.text("/usr/etc/login.defs")))
        status = posix.stat(tree.at(owner.home))
    if posix.geteuid() == 0 and status.st_uid != owner.uid:
        if not done:
            warn("%s belonged to uid %d: it is %s's from now on" % (owner.home, status.st_uid, owner.name))
        posix.chown(tree.at(owner.home), owner.uid, owner.gid)
    if status.st_mode & 0o022:
        warn("others could write into %s, and sshd would refuse its keys: it has mode %o from now on"
             % (owner.home, status.st_mode & 0o7755))  # fmt: skip
        posix.chmod(tree.at(owner.home), status.st_mode & 0o7755)
    if was_cut:
        _copy_skeleton(tree, owner)
    return done


def _copy_skeleton(tree, owner):
    """What of /etc/skel is not in the home, or is empty there."""
    home = posix.open(tree.at(owner.home), posix.O_RDONLY | posix.O_DIRECTORY)
    try:
        _copy_below(tree, "/etc/skel", home, owner)
    finally:
        posix.close(home)


def _copy_below(tree, source, folder, owner):
    """The same for one folder below it, into an open folder; no link in the home is followed."""
    for name in tree.names(source):
        path = source + "/" + name
        status, there = posix.lstat(tree.at(path)), _lstat_in(folder, name)
        if S_ISDIR(status.st_mode):
            if there is None:
                posix.mkdir(name, 0o700, dir_fd=folder)
            elif not S_ISDIR(there.st_mode):
                continue
            inner = posix.open(name, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW, dir_fd=folder)
            try:
                _give(inner, status.st_mode & 0o7777, owner)
                _copy_below(tree, path, inner, owner)
            finally:
                posix.close(inner)
        elif S_ISREG(status.st_mode) and (there is None or not there.st_size):
            write_in(folder, name, tree.read(path) or b"", status.st_mode & 0o777, (owner.uid, owner.gid))
        elif S_ISLNK(status.st_mode) and there is None:
            posix.symlink(posix.readlink(tree.at(path)), name, dir_fd=folder)
            if posix.geteuid() == 0:
                posix.chown(name, owner.uid, owner.gid, dir_fd=folder, follow_symlinks=False)
    posix.fsync(folder)


def _lstat_in(folder, name):
    try:
        return posix.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _give(descriptor, mode, owner):
    """Give an open file or folder its mode and its owner."""
    if posix.geteuid() == 0:
        posix.fchown(descriptor, owner.uid, owner.gid)
    posix.fchmod(descriptor, mode)


def _sync_copied(tree, source, folder):
    """What useradd has copied from /etc/skel reaches the disk; useradd syncs the account files only.

    No more than that: a home that was there before may hold a whole disk.
    """
    for name in tree.names(source):
        path = folder + "/" + name
        try:
            status = posix.lstat(tree.at(path))
        except FileNotFoundError:
            continue
        if S_ISDIR(status.st_mode):
            _sync_copied(tree, source + "/" + name, path)
        elif S_ISREG(status.st_mode) and status.st_size:
            descriptor = posix.open(tree.at(path), posix.O_RDONLY | posix.O_NOFOLLOW)
            posix.fsync(descriptor)
            posix.close(descriptor)
    tree.touched(folder)


def step_sudo(tree, wishes, settings):
    name = wishes.user
    if not name:
        return "no user name: skipped"
    if tree.has_tool("sudo") or tree.exists("/etc/sudoers.d") and not tree.has_tool("doas"):
        if tree.exists("/etc/sudoers/.") or tree.exists("/etc/sudoers.d") and not tree.exists("/etc/sudoers.d/."):
            warn("/etc/sudoers is a folder, or /etc/sudoers.d is none: %s is not given sudo" % name)
            return "left as it is"
        return _unless_fixed("/etc/sudoers.d", name + " may sudo", lambda: _write_sudoers(tree, name))
    if tree.exists("/etc/doas.conf/."):
        warn("/etc/doas.conf is a folder: %s is not given doas" % name)
        return "left as it is"
    if tree.has_tool("doas"):
        return _unless_fixed("doas's rule", name + " may doas", lambda: _write_doas(tree, name))
    warn("neither sudo nor doas is there: %s cannot become root" % name)
    return "skipped"


def _unless_fixed(what, done, write):
    """What `write` does, where the image can be written: where it cannot, what is there has to do."""
    try:
        return _done(write(), done)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    warn("%s: read-only, and stays as the image has it" % what)
    return "left as it is"


def _write_sudoers(tree, name):
    def check(path):
        if tree.tool("visudo"):
            tree.run(["visudo", "-c", "-q", "-f", path])

    # the rule is a fixed text with a name that was checked: among the usual it can break nothing
    main = tree.text("/etc/sudoers")
    included = last_word_is_include(unmarked(main))
    usual = included and rules_are_usual(main)
    text = "# Written by azure-provisioning\n%s ALL=(ALL:ALL) NOPASSWD: ALL\n" % sudoers_name(name)
    if not tree.exists("/etc/sudoers.d"):
        tree.folder("/etc/sudoers.d", 0o750)
    for path in ("/etc/sudoers", "/etc/sudoers.d"):
        _close_to_others(tree, path)
    names = tree.names("/etc/sudoers.d")
    file = "/etc/sudoers.d/" + rule_name(names, "90-azure-provisioning")
    last = all("/etc/sudoers.d/" + other < file for other in others_of(names))
    changed = tree.write(file, text.encode(), 0o440, None if usual and last else check)
    for other in names:
        if is_ours(other) and file != "/etc/sudoers.d/" + other:
            tree.remove("/etc/sudoers.d/" + other)
    if (main or tree.exists("/etc/sudoers")) and not (last and included):
        # sudo before 1.9.1 knows it with # only; our file alone, since a second look at all would define aliases twice
        try:
            changed = tree.rewrite("/etc/sudoers", _marked(main, "#include %s\n" % file), check) or changed
        except CommandFailed as error:  # it has faults of its own
            warn("/etc/sudoers stays as it is: %s" % error)
    return changed


def _close_to_others(tree, path):
    """sudo takes nothing from what others than root could write (sudoers(5))."""
    try:
        status = posix.stat(tree.at(path))
    except OSError:
        return
    if tree.dry_run or posix.geteuid() != 0 or not (status.st_uid or status.st_mode & 0o022):
        return
    posix.chown(tree.at(path), 0, -1)
    posix.chmod(tree.at(path), status.st_mode & 0o7755)
    warn("others than root could write to %s, and sudo would not read it: it is root's alone from now on" % path)


def _write_doas(tree, name):
    rule = "permit nopass %s\n" % name
    program = next((folder + "/doas" for folder in _FOLDERS if tree.exists(folder + "/doas")), "")
    if tree.exists("/etc/doas.d") and b"/etc/doas.d" in (tree.read(program) or b""):  # not every one reads it
        file = rule_name(tree.names("/etc/doas.d"), "90-azure-provisioning.conf", ".conf")
        return tree.write("/etc/doas.d/" + file, rule.encode(), 0o400)
    return tree.write("/etc/doas.conf", _marked(tree.text("/etc/doas.conf"), rule).encode(), 0o400)


def _done(changed, text):
    return text if changed else text + " already"


MARKS = ("# azure-provisioning begins\n", "# azure-provisioning ends\n")


def unmarked(text):
    """`text` without the block that we wrote into it before."""
    head, begin, rest = text.partition(MARKS[0])
    return head + rest.partition(MARKS[1])[2] if begin else text


def _marked(text, block):
    """`text` with our marked block at its end, in place of an earlier one."""
    text = unmarked(text)
    if text and not text.endswith("\n"):
        text += "\n"
    return text + MARKS[0] + block + MARKS[1]


def step_keys(tree, wishes, settings):
    if not wishes.user:
        return "no user name: skipped"
    if not wishes.keys:
        return "none given"
    owner = account(tree, wishes.user)
    if owner is None and tree.dry_run:
        return "would write %d key(s) once %s exists" % (len(wishes.keys), wishes.user)
    if owner is None or not owner.home.startswith("/"):
        raise Failed("failure in step keys", ("error", "there is no account %s with a home" % wishes.user))
    path, added = _bring_keys(tree, wishes, owner, _sshd_for(tree, wishes.user))
    return "%s has %d key(s), %d added" % (path, len(wishes.keys), added)


def _sshd_for(tree, user):
    """sshd's configuration for this user: by its own answer, where its files hold more than the usual."""
    sshd = read_sshd(tree, user)
    # without its file or its account, it does not start
    sshd.plain = sshd.plain and sshd.file != "" and account(tree, "sshd") is not None
    return asked_sshd(tree, user, sshd) or sshd


def _bring_keys(tree, wishes, owner, sshd):
    """Put the keys where sshd looks for them; returns the path, and how many were new."""
    path = keys_path(sshd.words("authorizedkeysfile"), owner)
    added = add_keys(tree, path, owner, wishes.keys)
    if tree.live and added and tree.exists("/sys/fs/selinux/enforce") and tree.tool("restorecon"):
        tree.run(["restorecon", "-F", "-R", path.rpartition("/")[0]])
    return path, added


def keys_path(patterns, owner):
    """Where sshd looks for a user's keys: the first AuthorizedKeysFile, expanded, else its default."""
    pattern = patterns[0] if patterns and patterns[0].lower() not in ("", "none") else ".ssh/authorized_keys"
    pieces, rest = [], pattern
    while rest:
        plain, percent, rest = rest.partition("%")
        pieces.append(plain)
        if percent:
            pieces.append(
                {"h": owner.home, "u": owner.name, "U": str(owner.uid), "%": "%"}.get(rest[:1], "%" + rest[:1])
            )
            rest = rest[1:]
    path = "".join(pieces)
    return path if path.startswith("/") else owner.home.rstrip("/") + "/" + path


def add_keys(tree, path, owner, keys):
    """Add keys to the file at `path`; returns how many were new. No symbolic link below the home is followed."""
    home = owner.home.rstrip("/")
    below = path.startswith(home + "/")
    base, rest = (home, path[len(home) + 1 :]) if below else path.rsplit("/", 1)
    if below:
        _open_home(tree, owner)
    else:
        _open_to_sshd(tree, base)
    if tree.dry_run and not tree.exists(base):
        return len(keys)
    *folders, name = rest.split("/")
    if ".." in folders or name in ("", ".", ".."):
        raise Failed("failure in step keys", ("error", "AuthorizedKeysFile is %s" % path))
    folder = posix.open(tree.at(base), posix.O_RDONLY | posix.O_DIRECTORY)
    try:
        for part in folders:
            if part in ("", "."):
                continue
            inner = _open_folder(tree, folder, part, owner)
            if inner is None:
                return len(keys)  # a dry run, and the folder is not there
            posix.close(folder)
            folder = inner
        existing, mode, holder = _read_own(folder, name)
        content, added = missing_keys(existing or b"", keys)
        if below or existing is None and owner.name in name:
            mode, holder = 0o600, (owner.uid, owner.gid)
        elif existing is None:
            mode, holder = 0o644, (0, 0)  # one file for everybody
        elif holder[0] != owner.uid:
            mode |= 0o044  # sshd reads it as the user
        if added and tree.dry_run:
            say("would write %s" % path)
        elif added or existing is None:
            write_in(folder, name, content, mode, holder)
            posix.fsync(folder)
        return added
    finally:
        posix.close(folder)


def _open_home(tree, owner):
    """A home into which its owner cannot go (HOME_MODE 0, a umask of 777) has keys that sshd, which reads as the user,
    does not find."""
    if tree.dry_run:
        return
    mode = posix.stat(tree.at(owner.home)).st_mode & 0o7777
    if not mode & 0o100:
        posix.chmod(tree.at(owner.home), mode | 0o700)
        warn("%s was closed to %s: it has mode %o from now on" % (owner.home, owner.name, mode | 0o700))


def _open_to_sshd(tree, folder):
    """A folder of keys outside of the homes: made where missing; one that is there keeps its mode, but sshd, which
    reads as the user, must get through it."""
    if not tree.exists(folder):
        tree.folder(folder, 0o755)
        return
    mode = posix.stat(tree.at(folder)).st_mode & 0o7777
    if not mode & 0o001 and not tree.dry_run:
        posix.chmod(tree.at(folder), mode | 0o011)
    if mode & 0o022:
        warn("others can write into %s: sshd refuses keys there" % folder)


def _open_folder(tree, parent, name, owner):
    """Open a folder below the home, made with 0700 when missing, given to its owner; a symbolic link is refused."""
    flags = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW
    try:
        descriptor = posix.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        if tree.dry_run:
            return None
        posix.mkdir(name, 0o700, dir_fd=parent)
        descriptor = posix.open(name, flags, dir_fd=parent)
        posix.fsync(parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Failed("failure in step keys", ("error", "%s is a symbolic link or no folder" % name)) from None
        raise
    status = posix.fstat(descriptor)
    if not tree.dry_run:
        if posix.geteuid() == 0 and (status.st_uid, status.st_gid) != (owner.uid, owner.gid):
            posix.fchown(descriptor, owner.uid, owner.gid)
        if status.st_mode & 0o7777 != 0o700:
            posix.fchmod(descriptor, 0o700)
    return descriptor


def _read_own(folder, name):
    """A regular file in an open folder, its mode and its owner; (None, 0, None) when it is missing. Anything else at
    that name is refused."""
    try:
        descriptor = posix.open(name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None, 0, None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Failed("failure in step keys", ("error", "%s is a symbolic link" % name)) from None
        raise
    try:
        status = posix.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise Failed("failure in step keys", ("error", "%s is no regular file" % name))
        return read_all(descriptor, SIZE_LIMIT), status.st_mode & 0o7777, (status.st_uid, status.st_gid)
    finally:
        posix.close(descriptor)


SSHD_FILES = ("/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config")  # the vendor's is read where there is no other
DROP_IN = "/etc/ssh/sshd_config.d/00-azure-provisioning.conf"


def read_sshd(tree, user):
    """sshd's configuration, as far as we read it ourselves."""
    file = next((path for path in SSHD_FILES if tree.exists(path)), "")
    sshd = Sshd(file)
    if file:
        try:
            _read_sshd_file(tree, sshd, file, user, True, False, 0)
        except RecursionError:
            sshd.plain = False
    return sshd


def _read_sshd_file(tree, sshd, path, user, active, inside, depth):
    """One file; an Include is followed. A Match block ends at the next, and with its file, not with the file that
    includes it. Raises RecursionError where sshd gives up too: files that include themselves."""
    if depth > 16:
        raise RecursionError
    begins, maybe = active, False
    text = tree.text(path)
    if not text and tree.dangles(path):
        sshd.plain = False  # it does not start then
    for line in text.split("\n"):
        if not line or line[0] == "#":  # most lines
            continue
        name, words = sshd_words(line)
        if not name:
            continue
        if name == "match":
            applies = match_applies(words, user, groups_with(tree, user) if user else [])
            inside, active, maybe = True, begins and bool(applies), begins and applies is None
            sshd.plain, sshd.unsure = False, sshd.unsure or applies is None
        elif name == "include":
            for pattern in words:
                pattern = pattern if pattern.startswith("/") else "/etc/ssh/" + pattern
                for file in glob(tree, pattern):
                    _read_sshd_file(tree, sshd, file, user, active, inside, depth + 1)
        else:
            if inside and name in ("passwordauthentication", "kbdinteractiveauthentication"):
                sshd.opens = sshd.opens or words[:1] == ["yes"]
            sets_path = name == "setenv" and any(word.startswith("PATH=") for word in words)
            if maybe and (name in CONFINES or (name, words) in _SHUT or sets_path):
                sshd.shuts = True
            if active:
                _take_sshd_line(sshd, sshd.matched if inside else sshd.usual, name, words)


_SHUT = (
    ("pubkeyauthentication", ["no"]),
    ("maxsessions", ["0"]),
    ("maxauthtries", ["0"]),
    ("refuseconnection", ["yes"]),
)


def _take_sshd_line(sshd, table, name, words):
    if name in LISTS:
        table.setdefault(name, []).extend(words)
    else:
        table.setdefault(name, words)
    if name == "authorizedkeysfile":
        sshd.plain = sshd.plain and words[:1] != [] and words[0] in USUAL_KEY_FILES
    elif name == "subsystem":  # older ones do not start where a name comes twice
        sshd.plain = sshd.plain and bool(words) and name + words[0] not in table
        table[name + "".join(words[:1])] = words
    elif HARMLESS.get(name) != words and (name not in QUIET or (name, words) in _SHUT or not _taken(name, words)):
        sshd.plain = False


def _taken(name, words):
    """Whether sshd takes these values, by their looks: all others are for sshd itself to judge."""
    if name in ANY_TEXT:
        return bool(words)
    if name == "maxstartups":
        numbers = words[0].split(":") if len(words) == 1 else []
        return len(numbers) in (1, 3) and all([is_number(number, 2, 9999) for number in numbers])
    return len(words) == 1 and (_is_usual_number(name, words[0]) or words[0].lower() in SWITCHES)


def _is_usual_number(name, word):
    """A number that any version takes, a time in hours, minutes or seconds among them."""
    if name in ("clientaliveinterval", "logingracetime") and word[-1:] in ("s", "m", "h"):
        word = word[:-1]
    least = {"port": 1, "rekeylimit": 1 << 16}.get(name, 0)  # sshd refuses less
    return is_number(word, least, 65535) and (name, word) != ("logingracetime", "1")


def glob(tree, pattern):
    """The files of a pattern of glob(7), sorted; a name that begins with a dot only where the pattern says so."""
    found = [""]
    for part in pattern.split("/")[1:]:
        if "*" in part or "?" in part or "[" in part:
            found = [
                folder + "/" + name
                for folder in found
                for name in tree.names(folder or "/")
                if (name[0] != "." or part[0] == ".") and fits(name, part, True)
            ]
        else:
            found = [folder + "/" + part for folder in found]
    return sorted(path for path in found if tree.exists(path) or tree.dangles(path))


def groups_with(tree, user):
    """The names of a user's groups."""
    owner = account(tree, user)
    names = []
    for line in lines_of(tree.text("/etc/group")) + lines_of(tree.text("/usr/lib/group")):
        fields = line.split(":")
        if len(fields) == 4 and (user in fields[3].split(",") or owner and fields[2] == str(owner.gid)):
            names.append(fields[0])
    return names


def _is_in(tree, user, gid):
    """Whether a user is in the group of that number."""
    owner, names = account(tree, user), groups_with(tree, user)
    groups = [line.split(":") for line in lines_of(tree.text("/etc/group"))]
    return (
        owner is not None
        and owner.gid == gid
        or any(group[0] in names and group[2:3] == [str(gid)] for group in groups)
    )


def refused_config(error):
    """What sshd says of its files where it does not start because of them, "" where it has other reasons."""
    others = "no hostkeys" in error or "privilege separation" in error
    whole = ("Privilege separation user", " set without ", "recursive configuration includes")
    gone = "sshd_config" in error and error.endswith("No such file or directory")
    return (
        error if gone or any(w in error for w in whole) or " line " in error and "/ssh" in error and not others else ""
    )


def asked_sshd(tree, user, sshd):
    """The same by sshd's own answer, where there is more in its files than we need not understand. None: no answer."""
    program = tree.tool("sshd")
    if sshd.plain or not tree.live or tree.dry_run or not program or not user:
        return None
    tree.folder("/run/sshd", 0o755)
    # somewhere on the internet, where the owner most likely is (RFC 5737)
    peer = "user=%s,host=203.0.113.1,addr=203.0.113.1" % user
    try:
        output = tree.run([program, "-T", "-C", peer])
    except CommandFailed as error:
        sshd.broken = refused_config(str(error))
        return None
    except TimeLimit:
        return None
    answer = Sshd(sshd.file)
    answer.plain, answer.unsure, answer.opens, answer.shuts = False, sshd.unsure, sshd.opens, sshd.shuts
    for line in output.decode("utf-8", "replace").splitlines():
        name, _, value = line.strip().partition(" ")
        name = OTHER_NAMES.get(name.lower(), name.lower())
        words = sshd.words(name)  # sshd prints without quotes what may hold a blank
        words = words if " ".join(words) == value else value.split(" ")
        _take_sshd_line(answer, answer.usual, name, words if value else [])
    return answer if answer.usual else None


def includes_drop_ins(tree, file):
    """Whether a file of sshd's includes sshd_config.d before its first Match block."""
    for line in tree.text(file).split("\n"):
        name, words = sshd_words(line)
        if name == "match":
            return False
        if name == "include" and any(word in _DROP_IN_PATTERNS for word in words):
            return True
    return False


_DROP_IN_PATTERNS = (
    "sshd_config.d/*.conf", "sshd_config.d/*", "/etc/ssh/sshd_config.d/*.conf", "/etc/ssh/sshd_config.d/*",
)  # fmt: skip


def step_sshd(tree, wishes, settings):
    sshd = read_sshd(tree, wishes.user)
    if not sshd.file:
        return "no sshd: skipped"
    if "host-keys" not in step_list(settings["SKIP"])[0]:
        _make_named_host_keys(tree, sshd)
    wanted = "yes" if wishes.password_login else "no"
    methods = " ".join(sshd.words("authenticationmethods")).lower()
    asks_else = "keyboard-interactive" in methods and wanted == "no"
    if asks_else:
        warn("sshd asks for keyboard-interactive by AuthenticationMethods: that stays on")
    if tree.exists(sshd.file + "/."):
        warn("%s is a folder: sshd reads nothing of it, and passwords stay as it has them by itself" % sshd.file)
        return "left as it is"
    usual = sshd if sshd.plain else read_sshd(tree, "")  # the policy is for everybody, whatever a Match block says
    if says_policy(usual, wanted, asks_else):
        return "PasswordAuthentication is %s already" % wanted
    try:
        path = _write_policy(tree, sshd, wanted, asks_else)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        warn("%s: read-only, and passwords stay as the image has them" % sshd.file)
        return "left as it is"
    _reload_sshd(tree, sshd)
    return "PasswordAuthentication %s in %s" % (wanted, path)


def _make_named_host_keys(tree, sshd):
    """Host keys of which sshd_config says that they lie elsewhere: `ssh-keygen -A` makes none of these."""
    for path in sshd.words("hostkey"):
        folder, _, name = path.rpartition("/")
        kind = next((kind for kind in HOST_KEYS if kind in name), "")
        usual = path == "/etc/ssh/ssh_host_%s_key" % kind
        if usual or not kind or not folder.startswith("/") or tree.exists(path) or not tree.tool("ssh-keygen"):
            continue
        if not tree.exists(folder):
            tree.folder(folder, 0o755)
        tree.run(["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", tree.at(path)])
        say("sshd: made %s, a host key that sshd_config names" % path)
        for half in () if tree.dry_run else (path + ".pub", path):
            _sync_file(tree.at(half))
        tree.touched(folder)


def says_policy(sshd, wanted, asks_else):
    """Whether sshd does what the owner said of passwords: with UsePAM, keyboard-interactive asks for one, too."""
    if sshd.says("passwordauthentication", "") != wanted:
        return False
    return wanted == "yes" or asks_else or sshd.says("kbdinteractiveauthentication", "yes") == "no"


def _write_policy(tree, sshd, wanted, asks_else):
    """Write the policy where sshd takes it, and return that place: a drop-in where the main file includes them, and the
    head of the main file where it does not, or where something else comes before."""
    text = policy(wanted, asks_else)
    path, own = "", sshd.file == SSHD_FILES[0]
    folder = DROP_IN.rpartition("/")[0]
    no_folder = not tree.exists(folder + "/.") and (tree.exists(folder) or tree.dangles(folder))
    if includes_drop_ins(tree, sshd.file) and not no_folder:
        path = DROP_IN
        if not tree.exists(folder):
            tree.folder(folder, 0o755)
        _write_checked(tree, path, (_DROP_IN_HEAD + text).encode(), _drop_in_mode(tree))
    if tree.dry_run or path and says_policy(read_sshd(tree, ""), wanted, asks_else):
        return path or sshd.file
    if own:
        _write_checked(tree, sshd.file, _at_head(tree.text(sshd.file), text).encode("utf-8", "surrogateescape"))
        path = sshd.file
    if not says_policy(read_sshd(tree, ""), wanted, asks_else):
        warn("%s says otherwise before ours: passwords stay as the image has them" % sshd.file)
    return path or sshd.file


def policy(wanted, asks_else=False):
    """The lines that state the password policy. OpenSSH before 8.7 knows keyboard-interactive by the last name."""
    text = "PasswordAuthentication %s\n" % wanted
    if not asks_else:
        text += "KbdInteractiveAuthentication %s\nChallengeResponseAuthentication %s\n" % (wanted, wanted)
    return text


# Images bring the drop-in with "no".
_DROP_IN_HEAD = (
    "# Written by azure-provisioning: the password policy that the platform states for this VM.\n"
    "# sshd takes the first value that it reads, so this file sorts first.\n"
)


def _drop_in_mode(tree):
    """As strict as the other files of its folder, where they all are."""
    modes = []
    for name in tree.names("/etc/ssh/sshd_config.d"):
        try:
            modes.append(posix.stat(tree.at("/etc/ssh/sshd_config.d/" + name)).st_mode & 0o777)
        except OSError:
            pass
    return 0o600 if modes and all(mode == 0o600 for mode in modes) else 0o644


def _at_head(text, block):
    """sshd_config with our lines at its head, in place of earlier ones of ours; the first value is what counts."""
    rest = unmarked(text)
    return MARKS[0] + block + MARKS[1] + rest + ("\n" if rest and rest[-1] != "\n" else "")


def _write_checked(tree, path, content, mode=None):
    """Write a file of sshd's configuration; undone when sshd refuses it, unless sshd refused before as well. A file
    that is there keeps its mode and its owner."""
    before = tree.read(path)
    tree.write(path, content, mode if before is None else None)
    complaint = _sshd_complaint(tree)
    if not complaint:
        return
    if before is None:
        tree.remove(path)
    else:
        tree.write(path, before, None)
    if not _sshd_complaint(tree):
        raise Failed("failure in step sshd", ("error", complaint))
    warn("%s (it said so before as well)" % complaint)
    tree.write(path, content, mode if before is None else None)


def _sshd_complaint(tree):
    """What sshd has against its configuration; "" when nothing, or when there is no sshd to ask."""
    if not tree.tool("sshd") or tree.dry_run:
        return ""
    if tree.live:
        tree.folder("/run/sshd", 0o755)  # sshd checks nothing without it, and its service makes it later than this
        _await_host_keys(tree)
    try:
        file = next((path for path in SSHD_FILES if tree.exists(path)), SSHD_FILES[0])
        tree.run([tree.tool("sshd"), "-t"] + ([] if tree.live else ["-f", tree.at(file)]))
    except (CommandFailed, TimeLimit) as error:
        return str(error) or "sshd -t does not end"
    return ""


def _reload_sshd(tree, sshd):
    """Have a running sshd read its configuration again."""
    if not tree.live or tree.dry_run:
        return
    files = sshd.words("pidfile")[:1] + ["/run/sshd.pid"]
    pids = [tree.text(file).strip() for file in files if file.startswith("/")]
    for pid in [pid for pid in pids if is_number(pid, 2)] + tree.names("/proc"):
        if pid.isdigit() and _is_listener(tree, pid):
            posix.kill(int(pid), 1)  # SIGHUP
            say("sshd: reloaded")
            return


def _is_listener(tree, pid):
    """Whether a process is the sshd that waits for connections: not one that serves a session, nor one of inetd's."""
    if tree.text("/proc/%s/comm" % pid).strip() != "sshd":
        return False
    parent = tree.text("/proc/%s/stat" % pid).rpartition(")")[2].split()[1:2]
    if not parent or tree.text("/proc/%s/comm" % parent[0]).strip() == "sshd":
        return False
    words = tree.text("/proc/%s/cmdline" % pid).replace("\0", " ").strip()
    if words.startswith("sshd: "):
        return "[listener]" in words
    return bool(words) and " -i" not in words  # one that has ended shows none


def step_password(tree, wishes, settings):
    if not wishes.user:
        return "no user name: skipped"
    if wishes.password:
        _set_password(tree, wishes.user, wishes.password)
        return "set for %s" % wishes.user
    if wishes.password_login:
        warn("passwords are allowed, but none came on a medium: %s has none" % wishes.user)
    _stop_ageing(tree, wishes.user)
    field = _shadow_field(tree, wishes.user)
    if field is None:
        return "%s has no entry in /etc/shadow" % wishes.user
    # sshd without PAM refuses keys, too, for an account that is locked with "!"
    sshd = read_sshd(tree, "")
    without_pam = bool(sshd.file) and sshd.says("usepam", "no") != "yes"
    if field.startswith("*") or (field.startswith("!") and not without_pam):
        return "%s is locked for passwords" % wishes.user
    if tree.is_fixed("/etc"):
        warn("/etc is read-only: the password of %s stays as the image has it" % wishes.user)
        return "left as it is"
    if not tree.tool("usermod"):  # busybox: "*" serves with PAM and without
        tree.run(["chpasswd"] + _root(tree) + ["-e"], ("%s:*\n" % wishes.user).encode())
    else:
        tree.run(["usermod"] + _prefix(tree) + (["-p", "*"] if without_pam else ["-L"]) + [wishes.user])
    return "locked for %s" % wishes.user


def _stop_ageing(tree, name):
    """Nobody has a password for this account: none can get too old."""
    lines = tree.text("/etc/shadow").split("\n")
    for index, line in enumerate(lines):
        if line.startswith(name + ":"):
            new = without_ageing(line, int(time.time() // 86400))
            if new != line and not tree.is_fixed("/etc"):
                lines[index] = new
                tree.rewrite("/etc/shadow", "\n".join(lines).rstrip("\n") + "\n")
                say("password: %s has none, and none gets too old" % name)


def _root(tree):
    return [] if tree.live else ["--root", tree.root]


def _shadow_field(tree, name):
    for line in lines_of(tree.text("/etc/shadow")):
        fields = line.split(":")
        if fields[0] == name and len(fields) > 1:
            return fields[1]
    return None


def _set_password(tree, name, password):
    """chpasswd hashes as the image's policy says; where that does not work, we hash."""
    # busybox has no policy, and hashes with DES or MD5 unless it is told otherwise
    form = [] if tree.tool("useradd") else ["-c", "sha512"]
    try:
        tree.run(["chpasswd"] + _root(tree) + form, ("%s:%s\n" % (name, password)).encode())
    except CommandFailed as error:
        warn("chpasswd: exit %d; trying with a hash of ours" % error.status)  # its output might repeat the line
        salt = "".join([CRYPT64[byte % 64] for byte in posix.urandom(16)])
        hashed = sha512_crypt(password.encode(), salt)
        try:
            tree.run(["chpasswd"] + _root(tree) + ["-e"], ("%s:%s\n" % (name, hashed)).encode())
        except CommandFailed as again:
            raise Failed("failure in step password", ("error", "chpasswd -e: exit %d" % again.status)) from None


CRYPT64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sha512_crypt(password, salt, rounds=5000):
    """The $6$ hash of crypt(3), as Ulrich Drepper's public description has it. Python 3.13 has no crypt module."""
    from hashlib import sha512

    def stretched(digest, length):
        return (digest * (length // 64 + 1))[:length]

    pepper, bits = salt.encode(), len(password)
    other = sha512(password + pepper + password).digest()
    first = password + pepper + stretched(other, bits)
    while bits:
        first += other if bits & 1 else password
        bits >>= 1
    digest = sha512(first).digest()
    key = stretched(sha512(password * len(password)).digest(), len(password))
    pepper = stretched(sha512(pepper * (16 + digest[0])).digest(), len(pepper))
    for turn in range(rounds):
        data = (key if turn & 1 else digest) + (pepper if turn % 3 else b"") + (key if turn % 7 else b"")
        digest = sha512(data + (digest if turn & 1 else key)).digest()
    return "$6$%s$%s" % (salt, _crypt64(digest))


def _crypt64(digest):
    """The order and alphabet in which crypt(3) writes the 64 bytes of a SHA-512."""
    characters, one, two, three = [], 0, 21, 42
    for _ in range(21):
        number = digest[one] << 16 | digest[two] << 8 | digest[three]
        characters += [CRYPT64[number >> shift & 63] for shift in (0, 6, 12, 18)]
        one, two, three = two + 1, three + 1, one + 1
    return "".join(characters + [CRYPT64[digest[63] & 63], CRYPT64[digest[63] >> 6]])


def step_host_keys(tree, wishes, settings):
    if not tree.exists("/etc/ssh") or not (tree.has_tool("sshd") or tree.tool("ssh-keygen")):
        return "no sshd: skipped"
    missing = _missing_host_keys(tree)
    mended = _mend_public_halves(tree, [kind for kind in HOST_KEYS if kind not in missing])
    if not missing:
        return "all there" + (", public halves made: " + ", ".join(mended) if mended else "")
    damaged = [kind for kind in missing if tree.read("/etc/ssh/ssh_host_%s_key" % kind)]
    if _own_unit_makes_keys(tree) and not damaged:
        return "left to " + HOST_KEYS_UNIT
    if not tree.tool("ssh-keygen"):
        warn("no ssh-keygen: host keys are missing (%s)" % ", ".join(missing))
        return "skipped"
    for kind in damaged:  # ssh-keygen would leave it
        tree.remove("/etc/ssh/ssh_host_%s_key" % kind)
    for name in tree.names("/etc/ssh"):  # what a power cut left of an earlier ssh-keygen
        kind, dot, rest = name.partition("_key.")
        rest = rest[4:] if rest.startswith("pub.") else rest
        if dot and kind.startswith("ssh_host_") and len(rest) == 10 and rest.isalnum():
            tree.remove("/etc/ssh/" + name)
    tree.run(["ssh-keygen", "-A"] + ([] if tree.live else ["-f", tree.root]))
    _sync_host_keys(tree)
    return "made: " + ", ".join(missing)


def _mend_public_halves(tree, kinds):
    """Make public halves that are empty: of two files that ssh-keygen made, a power cut may leave one."""
    mended = []
    for kind in kinds:
        path = "/etc/ssh/ssh_host_%s_key" % kind
        if tree.read(path + ".pub") == b"" and tree.tool("ssh-keygen"):
            try:
                tree.write(path + ".pub", tree.run(["ssh-keygen", "-y", "-f", tree.at(path)]))
                mended.append(kind)
            except CommandFailed as error:  # sshd needs no public half
                warn("%s.pub cannot be made: %s" % (path, error))
    return mended


HOST_KEYS_UNIT = "azure-provisioning-hostkeys.service"


def _own_unit_makes_keys(tree):
    wants = "/etc/systemd/system/multi-user.target.wants/" + HOST_KEYS_UNIT
    return tree.exists("/run/systemd/system") and tree.exists(wants)


def _missing_host_keys(tree):
    """The kinds of host key that sshd cannot use: not there, cut (a power cut leaves empty ones), with a passphrase."""
    missing = []
    for kind in HOST_KEYS:
        text = tree.read("/etc/ssh/ssh_host_%s_key" % kind) or b""
        unfit = b"ENCRYPTED" in text or b"\r" in text or _OPENSSH_KEY in text[:80] and _UNLOCKED not in text[:120]
        if unfit or not text.startswith(b"-----BEGIN ") or b"-----END " not in text:
            missing.append(kind)
    return missing


# How base64 of a private key of OpenSSH begins, and of one that wants no passphrase: sshd can use no other
_OPENSSH_KEY, _UNLOCKED = b"b3BlbnNzaC1rZXktdjEA", b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"


def _await_host_keys(tree):
    """A unit of ours makes them beside this: a minute at most, since an RSA key takes a second of a core."""
    until = time.monotonic() + 60
    while _own_unit_makes_keys(tree) and _missing_host_keys(tree) and time.monotonic() < until:
        time.sleep(0.05)


def _sync_host_keys(tree):
    """Ready promises them: what was written since this boot reaches the disk first, ssh-keygen syncs nothing.

    Public halves before private ones: a kind whose private half is there is not made again.
    """
    boot, written = boot_time() - 60, False
    for name in [kind + half for half in ("_key.pub", "_key") for kind in HOST_KEYS]:
        path = tree.at("/etc/ssh/ssh_host_" + name)
        try:
            if posix.stat(path).st_mtime > boot:
                written = True
                _sync_file(path)
        except OSError:
            pass
    if written and not tree.dry_run:
        tree.touched("/etc/ssh")
        tree.sync()


def _sync_file(path):
    descriptor = posix.open(path, posix.O_RDONLY)
    posix.fsync(descriptor)
    posix.close(descriptor)


def step_custom_data(tree, wishes, settings):
    if settings["CUSTOM_DATA"] == "ignore":
        return "ignored (CUSTOM_DATA=ignore)"
    runs = settings["CUSTOM_DATA"] == "run" and wishes.custom_data.startswith(b"#!")
    done = []
    for name, data, mode in (
        ("custom-data", wishes.custom_data, 0o700 if runs else 0o600),
        ("user-data", wishes.user_data, 0o600),
    ):
        if data and _keep(tree, name, data, mode):
            done.append("%s, %d bytes" % (name, len(data)))
        if data.startswith((b"#cloud-config", b"Content-Type: multipart/")) and not tree.has_tool("cloud-init"):
            warn("%s is for cloud-init, which this image does not have: nobody follows it" % name)
    if runs and tree.dry_run:
        say("would run " + STATE + "/custom-data")
    elif runs:
        limit = int(settings["HOOK_TIMEOUT"])
        try:
            status = _run_shown(tree, STATE + "/custom-data", wishes, limit)
        except TimeLimit:
            raise Failed("custom data timed out", ("limit", "%d s" % limit)) from None
        if status:
            raise Failed("custom data failed", ("exit", status))
        done.append("run")
    return "; ".join(done) or "none given"


def _keep(tree, name, data, mode):
    """Keep a file in the state folder; tells whether that could be done."""
    try:
        tree.write(STATE + "/" + name, data, mode)
        return True
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOENT):
            raise
        warn("%s/%s cannot be kept: %s" % (STATE, name, error.strerror))
        return False


def step_entropy(tree, wishes, settings):
    if settings["ENTROPY"] == "no":
        return "off (ENTROPY=no)"
    # The hypervisor puts random bytes behind the 36 bytes of an ACPI table's header.
    data = (tree.read("/sys/firmware/acpi/tables/OEM0", 65536) or b"")[36:]
    if not data:
        return "the hypervisor gives none"
    if tree.dry_run or not tree.live:
        return "would credit %d bytes" % len(data)
    import fcntl

    # struct rand_pool_info (linux/random.h): bits to credit, bytes of data, data. 256 bits fill the kernel's pool.
    bits = min(len(data) * 8, 256)
    info = bits.to_bytes(4, sys.byteorder) + len(data).to_bytes(4, sys.byteorder) + data
    descriptor = posix.open("/dev/random", posix.O_WRONLY)
    try:
        fcntl.ioctl(descriptor, 0x40085203, info)  # RNDADDENTROPY
    except OSError as error:
        return "the kernel takes none (%s)" % error.strerror
    finally:
        posix.close(descriptor)
    return "credited %d bits of %d bytes" % (bits, len(data))


def step_grow(tree, wishes, settings):
    if settings["GROW"] == "no":
        return "off (GROW=no)"
    if not tree.live:
        return "needs a running machine: skipped"
    device, kind, source = _root_device(tree)
    if not device:
        return "the root file system is on no partition: skipped"
    name = device.rpartition("/")[2]
    filled = "disk"
    below = tree.names("/sys/class/block/%s/slaves" % name)
    if below:
        filled = "volume group"
        if not _grow_volume(tree, name, below, source):
            warn("the root file system is on %s: grow it yourself" % _layer(tree, name))
            return "skipped"
    elif not _grow_below(tree, name):
        filled = "partition"
    if kind in ("ext2", "ext3", "ext4"):
        words = ["resize2fs", device]
    elif kind == "xfs":
        words = ["xfs_growfs", "/"]
    elif kind == "btrfs":
        words = ["btrfs", "filesystem", "resize", "max", "/"]
    else:
        return "%s cannot be grown" % kind
    if not tree.tool(words[0]):
        warn("the root file system keeps its size: this image has no %s" % words[0])
        return "skipped"
    tree.run(words)
    return "%s (%s) fills its %s" % (device, kind, filled)


def _layer(tree, name):
    """What a block device is that has others below it."""
    kind = tree.text("/sys/class/block/%s/dm/uuid" % name).partition("-")[0]
    return {"LVM": "LVM", "CRYPT": "dm-crypt"}.get(kind, "md" if name.startswith("md") else "device mapper")


def _grow_below(tree, name):
    """Grow the partition that a device is; a whole disk has its size already. Whether the image has tools for that."""
    number = tree.text("/sys/class/block/%s/partition" % name).strip()
    if not number:
        return True
    disk = posix.readlink(tree.at("/sys/class/block/" + name)).split("/")[-2]
    return _grow_partition(tree, "/dev/" + disk, number)


def _grow_volume(tree, name, below, source):
    """Grow the logical volume that a device is; whether that can be done: one physical volume, and LVM's own tools."""
    plain = tree.exists("/sys/class/block/%s/partition" % below[0]) or not tree.names(
        "/sys/class/block/%s/slaves" % below[0]
    )
    if _layer(tree, name) != "LVM" or len(below) > 1 or not plain:
        return False
    if not tree.tool("pvresize") or not tree.tool("lvextend") or not _grow_below(tree, below[0]):
        return False
    mapped = tree.text("/sys/class/block/%s/dm/name" % name).strip()
    tree.run(["pvresize", "/dev/" + below[0]])
    try:
        tree.run(["lvextend", "-l", "+100%FREE", "/dev/mapper/" + mapped if mapped else source])
    except CommandFailed as error:
        if b"matches existing size" not in error.output:  # nothing was free
            raise
    return True


def _root_device(tree):
    """(device, file system, its source) of /, from /proc/self/mountinfo; ("", "", "") when it is no block device."""
    for line in tree.text("/proc/self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        fields, (kind, _, rest) = head.split(" "), tail.partition(" ")
        if fields[4:5] == ["/"] and kind:
            source = rest.partition(" ")[0]
            try:
                name = posix.readlink(tree.at("/sys/dev/block/" + fields[2])).rpartition("/")[2]
            except OSError:  # btrfs has a device number of its own
                name = source.rpartition("/dev/")[2]
            if tree.exists("/sys/class/block/" + name):
                return "/dev/" + name, kind, source
    return "", "", ""


def _grow_partition(tree, disk, number):
    """Move the end of a partition to the end of its disk, and tell the kernel; whether the image has tools for that."""
    plain = tree.tool("sfdisk") and tree.tool("partx")
    if tree.tool("growpart") and (tree.tool("sfdisk") or tree.tool("sgdisk")):
        try:
            tree.run(["growpart", disk, number])
            return True
        except CommandFailed as error:
            if error.output.startswith(b"NOCHANGE"):
                return True
            if not plain:
                raise
            warn(str(error))
    if plain:
        tree.run(["sfdisk", "--no-reread", "--no-tell-kernel", "-N", number, disk], b", +\n")
        tree.run(["partx", "--update", "--nr", number, disk])
        return True
    warn("the root partition keeps its size: this image has no sfdisk, with growpart or partx")
    return False


def step_hooks(tree, wishes, settings):
    names = [n for n in tree.names(HOOKS) if not n.startswith(".") and not n.endswith("~")]
    names = [n for n in sorted(names, key=lambda n: n.encode("utf-8", "surrogateescape")) if _is_program(tree, n)]
    limit = int(settings["HOOK_TIMEOUT"])
    for name in names:
        if tree.dry_run:
            say("would run %s/%s" % (HOOKS, name))
            continue
        say("hooks: running %s" % name)
        try:
            status = _run_shown(tree, HOOKS + "/" + name, wishes, limit)
        except TimeLimit:
            raise Failed("hook %s timed out" % name, ("limit", "%d s" % limit)) from None
        if status:
            raise Failed("hook %s failed" % name, ("exit", status))
    return ", ".join(names) or "none"


def _is_program(tree, name):
    path = tree.at(HOOKS + "/" + name)
    try:
        return S_ISREG(posix.stat(path).st_mode) and posix.access(path, posix.X_OK)
    except OSError:
        return False


def _run_shown(tree, path, wishes, limit):
    """Run one of the image's or the owner's programs, its output in our log. Returns its exit status."""
    owner = account(tree, wishes.user) if wishes.user else None
    values = {
        "PATH": posix.environ.get(b"PATH", b"").decode("utf-8", "replace") or ":".join(_FOLDERS),
        "AZURE_VM_ID": wishes.vm_id,
        "AZURE_VM_NAME": wishes.vm_name,
        "AZURE_HOSTNAME": wishes.hostname,
        "AZURE_LOCATION": wishes.location,
        "AZURE_ADMIN_USER": wishes.user,
        "AZURE_ADMIN_HOME": owner.home if owner else "",
        "AZURE_CUSTOM_DATA": _state_path(tree, "custom-data"),
        "AZURE_USER_DATA": _state_path(tree, "user-data"),
        "AZURE_ROOT": tree.root or "/",
    }
    environment = {key: value.replace("\0", "").encode("utf-8", "replace") for key, value in values.items()}
    file = tree.at(path)
    try:
        return spawn(file, [file], b"", limit, environment, show=True)[0]
    except OSError as error:  # no interpreter, wrong architecture
        warn("%s: %s" % (path, error.strerror))
        return 126


def _state_path(tree, name):
    return tree.at(STATE + "/" + name) if tree.exists(STATE + "/" + name) else ""


def step_ovf_copy(tree, wishes, settings):
    if not wishes.document:
        return "no medium"
    try:
        copy = redact(wishes.document)
    except Exception as error:  # the copy is a convenience: never let it stop the VM, never let it hold a secret
        return "not kept: " + printable(str(error))
    if wishes.password and wishes.password.encode("utf-8") in copy:
        return "not kept: a secret is in an unexpected place"
    kept = "kept without secrets" if _keep(tree, "ovf-env.xml", copy, 0o600) else "not kept"
    return kept + _eject(tree, wishes.device)


def _eject(tree, device):
    if not device.startswith("/dev/sr") or tree.dry_run:
        return ""
    import fcntl

    try:
        # exclusive: not while somebody else has it mounted
        descriptor = posix.open(device, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_EXCL)
        try:
            fcntl.ioctl(descriptor, 0x5329, 0)  # CDROM_LOCKDOOR: udev keeps the doors of drives locked
            refused = fcntl.ioctl(descriptor, 0x5309)  # CDROMEJECT: answers with the drive's status, no error
        finally:
            posix.close(descriptor)
    except OSError as error:
        return "; %s not ejected (%s)" % (device, error.strerror)
    return "; %s %s" % (device, "not ejected (the drive refused)" if refused else "ejected")


def step_access(tree, wishes, settings):
    """Can the owner get in, and become root? Asked of the image's own programs where the quick reading finds more than
    defaults. Fails only on certainty: a good image is never failed on a guess."""
    if settings["ACCESS"] == "off":
        return "off (ACCESS=off)"
    if not wishes.user:
        return "no user name: skipped"
    if tree.dry_run:
        return "would be asked"
    owner = account(tree, wishes.user)
    if owner is None:
        return "there is no account %s: skipped" % wishes.user
    if tree.live and _own_unit_makes_keys(tree):
        _await_host_keys(tree)
        _sync_host_keys(tree)
    if tree.live and posix.geteuid() == 0:
        _close_host_keys(tree)
        _close_empty_folder(tree)
    sudo, proven = _sudo_in_doubt(tree, wishes.user)
    if sudo:
        warn(sudo)
    if tree.has_tool("sudo") and not proven:
        for doubt in _sudo_bounds(tree, wishes.user) + pam_doubts(tree, "sudo", owner, PAM_TYPES):
            warn(doubt)
    if not (wishes.keys or wishes.bad_keys or wishes.password_wanted):
        return "neither a key nor a password was asked for"
    sshd = _sshd_for(tree, wishes.user)
    for doubt in _doubts(tree, owner, wishes, sshd):
        warn(doubt)
    why = _no_way_in(tree, wishes, settings, owner, sshd)
    if not why:
        for bound in _bounds(wishes, sshd):
            warn(bound)
        return "%s gets in" % wishes.user + (" and becomes root" if not sudo else "")
    if settings["ACCESS"] == "warn" or sshd.unsure and not sshd.broken:
        warn("no way to log in: " + why)
        return "in doubt"
    raise Failed("no way to log in: " + why, *[("key", text) for text in wishes.bad_keys[:8]])


def _close_host_keys(tree):
    """sshd does not use a host key of root's that others may read, but for Fedora's group ssh_keys."""
    others = 0o037 if "\nssh_keys:" in tree.text("/etc/group") else 0o077
    for kind in HOST_KEYS:
        path = "/etc/ssh/ssh_host_%s_key" % kind
        try:
            status = posix.stat(tree.at(path))
        except OSError:
            continue
        if status.st_uid == 0 and status.st_mode & others:
            posix.chmod(tree.at(path), 0o600)
            warn("others could read %s, and sshd would not use it: it has mode 600 from now on" % path)


def _close_empty_folder(tree):
    """sshd does not start where others could write into the folder in which it keeps itself apart."""
    try:
        status = posix.stat(tree.at("/run/sshd"))
    except OSError:
        return  # its service makes it
    if status.st_uid != 0 or status.st_mode & 0o022:
        posix.chown(tree.at("/run/sshd"), 0, 0)
        posix.chmod(tree.at("/run/sshd"), 0o755)
        warn("others than root could write into /run/sshd, and sshd would not start: it is root's alone from now on")


def _no_way_in(tree, wishes, settings, owner, sshd):
    """Why the owner cannot log in, "" when something is left. What other programs of the image bring is not judged."""
    skipped = step_list(settings["SKIP"])[0]
    if not wishes.keys and not wishes.password:
        if "keys" in skipped or "password" in skipped:
            return ""
        return "no usable key" if wishes.bad_keys else "passwords are wanted, and none came"
    if not tree.has_tool("sshd") and (tree.live or not sshd.file):
        warn("no sshd: nobody logs in over the network")
        if not sshd.file:
            return ""
    elif tree.live and not any(posix.access(tree.at(folder + "/sshd"), posix.X_OK) for folder in _ANYWHERE):
        return "sshd does not start: it is no program that anybody may run"
    if sshd.broken:
        return "sshd does not start: " + sshd.broken
    why = (
        _shut_account(tree, owner)
        or _closed_way(tree, owner)
        or shut_out(sshd, owner.name, groups_with(tree, owner.name))
        or ("" if "host-keys" in skipped else _without_host_keys(tree, sshd) or host_keys_unfit(sshd))
    )
    if why:
        return why
    refused = []
    if wishes.keys and "keys" not in skipped:
        why = keys_refused(sshd, wishes.keys) or _revoked(tree, sshd, wishes.keys)
        refused.append(why or _unreadable(tree, wishes, owner, sshd))
    if wishes.password and "password" not in skipped:
        refused.append(passwords_refused(sshd))
    if refused and all(refused):
        return "; ".join(refused)
    return methods_missing(sshd, len(wishes.keys), bool(wishes.password))


def _shut_account(tree, owner):
    """Why the account itself lets nobody in, "" when it does."""
    if owner.shell.rpartition("/")[2] in ("nologin", "false", "true", "sync", "halt", "shutdown", "git-shell"):
        return "the shell of %s is %s" % (owner.name, owner.shell)
    if tree.live and owner.shell and not tree.exists(owner.shell):
        return "the shell of %s, %s, is not there" % (owner.name, owner.shell)
    if tree.live and owner.shell and tree.exists(owner.shell + "/."):
        return "the shell of %s, %s, is a folder" % (owner.name, owner.shell)
    if tree.live and owner.shell.rpartition("/")[2] not in ("bash", "sh", "dash", ""):
        fault = _not_a_program(tree, owner.shell)
        if fault:
            return "the shell of %s, %s, %s" % (owner.name, owner.shell, fault)
    switch = tree.text("/etc/nsswitch.conf")
    services = nss_services(switch, "passwd")
    if tree.live and services and services[0] not in ("files", "compat") and not nss_account(owner.name):
        return "the system does not find the account %s (passwd: %s in /etc/nsswitch.conf)" % (
            owner.name, " ".join(services))  # fmt: skip
    services = nss_services(switch, "shadow")
    if services and "files" not in services and "compat" not in services:
        warn("nothing looks into /etc/shadow (shadow: %s in /etc/nsswitch.conf): PAM may keep %s out" % (
            " ".join(services), owner.name))  # fmt: skip
    for line in lines_of(tree.text("/etc/shadow")):
        fields = line.split(":")
        if fields[0] == owner.name and len(fields) > 7:
            if is_number(fields[7], 0, time.time() // 86400):
                return "the account %s has expired" % owner.name
    return ""


def _not_a_program(tree, path):
    """Why the kernel does not start a file: it is empty or a text without #!, or what it is started by is not there."""
    descriptor = posix.open(tree.at(path), posix.O_RDONLY)
    try:
        head = posix.read(descriptor, 4096)
    finally:
        posix.close(descriptor)
    if head[:2] == b"#!":
        wanted = (head[2:].partition(b"\n")[0].split() or [b""])[0]
    elif head[:4] == b"\x7fELF":
        wanted = next(
            (word for word in head.split(b"\0") if word[:1] == b"/" and b"/ld" in word and b" " not in word), b"/"
        )
    else:
        return "is no program" if not head.partition(b"\n")[0].strip(b"\t" + bytes(range(32, 127))) else ""
    wanted = wanted.decode("utf-8", "replace")
    return "" if tree.exists(wanted) else "wants %s, which is not there" % printable(wanted)


def _closed_way(tree, owner):
    """Why the owner reaches neither home nor shell, "" when nothing is seen: a root folder that mktemp made is 0700."""
    if not tree.live or posix.geteuid() != 0:
        return ""
    own = "/usr/lib/" + getattr(sys.implementation, "_multiarch", "")
    ways = ["/", "/usr", "/usr/lib", own, "/lib64", *LOADERS]
    for path in (owner.home, owner.shell):
        ways += _folders_above(path)
    ways += [owner.shell] + [folder + library for folder in (own, "/lib64") for library in LIBRARIES]
    for path in ways:
        mode = _shut_mode(tree, owner, path, 4 if path.endswith(LIBRARIES) else 1)
        if mode is not None:
            verb = "cannot read" if path.endswith(LIBRARIES) else "cannot enter"
            return "%s %s %s, which has mode %o" % (
                owner.name, "may not run" if path in (owner.shell, *LOADERS) else verb, path, mode)  # fmt: skip
    return ""


# What starts every program, and what shells are linked with
LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1")
LIBRARIES = ("/libc.so.6", "/libtinfo.so.6")


def _folders_above(path):
    return [path[:at] for at, letter in enumerate(path) if letter == "/" and at]


def _shut_mode(tree, owner, path, need):
    """The mode of a file or folder that does not give its owner, group or all others what the account needs: 4, to
    read it, 1, to enter or run it. None where it does, or is not there."""
    try:
        status = posix.stat(tree.at(path))
    except OSError:
        return None
    mode = status.st_mode & 0o7777
    if mode & need or mode & need << 6 and status.st_uid == owner.uid:
        return None
    return None if mode & need << 3 and _is_in(tree, owner.name, status.st_gid) else mode


def _without_host_keys(tree, sshd):
    """Why sshd does not start, where sshd_config names host keys and none of them is there; else ""."""
    paths = sshd.words("hostkey")
    if not paths or not tree.live or any(tree.exists(path) for path in paths):
        return ""
    return "sshd does not start: none of its host keys is there (HostKey %s)" % " ".join(paths)


def _revoked(tree, sshd, keys):
    """Why sshd takes none of the keys, by its list of those that count no more; "" where it takes one. Without the file
    that it is told to read it takes no key at all (sshd_config(5): RevokedKeys)."""
    path = " ".join(sshd.words("revokedkeys"))
    if not tree.live or path in ("", "none"):
        return ""
    if not tree.exists(path):
        return "sshd takes no keys: RevokedKeys %s is not there" % path
    text = tree.text(path)
    lines = [line.split() for line in lines_of(text)] if text[:6] != "SSHKRL" else []
    if tree.exists(path + "/.") or any(words and words[0][0] != "#" and words[1:] == [] for words in lines):
        return "sshd takes no keys: RevokedKeys %s is no list of keys" % path
    return "" if not all(key_identity(key)[1] in text for key in keys) else "RevokedKeys %s names the key" % path


def _unreadable(tree, wishes, owner, sshd):
    """Why sshd does not read the keys that were written, "" when it does (sshd_config(5): StrictModes)."""
    if sshd.plain:
        path = keys_path(sshd.words("authorizedkeysfile"), owner)
    else:
        path, _ = _bring_keys(tree, wishes, owner, sshd)  # sshd may name another place than its files seemed to
    for folder in _folders_above(path) if not sshd.plain and tree.live and posix.geteuid() == 0 else ():
        if _shut_mode(tree, owner, folder, 1) is not None:  # sshd reads as the user
            return "sshd reads no keys from %s: %s cannot enter %s" % (path, owner.name, folder)
    if sshd.says("strictmodes", "yes") == "no" or posix.geteuid() != 0:
        return ""
    home = owner.home.rstrip("/")
    while path and path != home.rpartition("/")[0]:
        status = posix.stat(tree.at(path))
        if status.st_mode & 0o022 or status.st_uid not in (0, owner.uid):
            return "sshd reads no keys below %s, into which others can write" % path
        path = path.rpartition("/")[0]
    return ""


def _doubts(tree, owner, wishes, sshd):
    """What may keep the owner out, or let others in, and cannot be asked."""
    if tree.exists("/etc/nologin"):
        yield "/etc/nologin is there: nobody but root logs in while it is"
    if sshd.says("usepam", "no") == "yes":
        by_password = wishes.password and not wishes.keys
        yield from pam_doubts(tree, "sshd", owner, ("auth", *PAM_TYPES) if by_password else PAM_TYPES)
    file, line = denied_by(tree.text("/etc/hosts.allow"), tree.text("/etc/hosts.deny"))
    if file:
        yield "%s may keep %s out: %s" % (file, owner.name, printable(line.strip()))
    yield from _ending_shell(tree, owner)
    if _is_no_shell(tree, owner):
        yield "the shell of %s, %s, runs no command" % (owner.name, owner.shell)
    yield from _shut_units(tree)
    for file, read in (("/etc/environment", environment_path), (PAM_ENV, pam_env_path)):
        path = read(tree.text(file))
        if path:  # that of /etc/environment counts
            if not any(tree.exists(folder + "/sh") for folder in path.split(":")):
                yield "%s leaves %s without programs: PATH=%s" % (file, owner.name, printable(path))
            break
    if tree.exists("/etc/ssh/sshd_not_to_be_run"):
        yield "/etc/ssh/sshd_not_to_be_run is there: Debian's ssh.service does not start while it is"
    places = sshd.words("listenaddress")
    elsewhere = [p for p in places if not p.strip("[]").startswith(("127.", "::1", "localhost"))]
    if places and not elsewhere:
        yield "sshd listens to this machine alone (ListenAddress %s)" % " ".join(places)
    elif sshd.says("addressfamily", "any") == "inet6" or places and all([p[0] == "[" or "::" in p for p in elsewhere]):
        yield "sshd listens to IPv6 alone"
    elif places and not any(p.startswith(("0.0.0.0", "*")) for p in places):
        yield "sshd listens to certain addresses alone (ListenAddress %s)" % " ".join(places)
    if wishes.password_login is not True and sshd.opens:
        yield "a Match block of sshd_config allows passwords"
    options = [key.partition("AAAA")[0] for key in wishes.keys]
    if options and all(text.startswith("cert-authority") or ",cert-authority" in text for text in options):
        yield "every key is an authority's: %s gets in by a certificate alone (cert-authority)" % wishes.user
    if sshd.shuts:
        yield "a Match block of sshd_config may keep %s out, by where the connection comes from" % wishes.user


SHELL_FILES = ("/etc/bash.bashrc", "/etc/bashrc", "/etc/profile")
OWN_FILES = (".bashrc", ".bash_profile", ".bash_login", ".profile")
ENDING_WORDS = ("exit", "exec ", "kill", "logout", "set -", "trap ", "source ", ". /", "ulimit", "PATH=")


def _ending_shell(tree, owner):
    """The files by which the owner's shell may end before it does anything; the shell itself is asked where they hold
    more than the usual."""
    files = [*SHELL_FILES]
    files += ["/etc/profile.d/" + name for name in tree.names("/etc/profile.d") if name.endswith(".sh")]
    files += [owner.home + "/" + name for name in OWN_FILES]
    suspects = [(file, word) for file, word in ((file, ending_word(tree.text(file))) for file in files) if word]
    stays = _shell_stays(tree, owner) if suspects and tree.live and posix.geteuid() == 0 else None
    for file, word in suspects if not stays else ():
        if stays is False or ends_at_once(tree.text(file)):
            yield "%s may end the shell of %s: it says %s" % (file, owner.name, word)


def ending_word(text):
    """The first of the words by which a file that shells read may end them or leave them without programs, "" where
    there is none. What reads bash's own other files is usual, and a PATH of programs."""
    for word in ENDING_WORDS:
        for line in lines_of(text) if word in text else ():
            usual = word == ". /" and "bash" in line or word == "PATH=" and ("$PATH" in line or "/bin" in line)
            if word in line and line.lstrip()[:1] != "#" and not usual:
                return word.rstrip(" /-")
    return ""


def ends_at_once(text):
    """Whether exit, or exec of another program, begins a line, where nobody can be asked."""
    begins = [line[5:6] for line in lines_of(text) if line[:5] == "exec "] if "exec " in text else []
    return "\nexit" in text or text[:4] == "exit" or any("a" <= letter <= "z" or letter == "/" for letter in begins)


def _shell_stays(tree, owner):
    """Whether the owner's shell does what it is told, as a command and by lines, as sshd starts it; None: not known."""
    if owner.shell.rpartition("/")[2] not in ("bash", "sh", "dash"):
        return None
    said = _said_as(tree, owner.name, ASK_SHELL, owner.shell, limit=20)
    return "by-command" in said and "by-lines" in said if said[-1:] == ["asked"] else None


def _is_no_shell(tree, owner):
    """Whether what stands for the owner's shell runs no command, by its own word."""
    if owner.shell.rpartition("/")[2] in KNOWN_SHELLS or not tree.live or posix.geteuid() != 0:
        return False
    said = _said_as(tree, owner.name, '"$0" -c "echo; echo by-command"; echo; echo asked', owner.shell, limit=20)
    return said[-1:] == ["asked"] and "by-command" not in said


KNOWN_SHELLS = ("", "bash", "sh", "dash", "rbash", "ash", "zsh", "ksh", "mksh", "fish", "tcsh", "csh")


def _shut_units(tree):
    """sshd's unit where it is masked (systemctl(1)), and no other starts sshd. A service that is not masked counts as
    one that is wanted."""
    there = [unit for unit in SSHD_UNITS if any(tree.exists(folder + unit) for folder in UNIT_FOLDERS)]
    masked = [unit for unit in there if _is_masked(tree, "/etc/systemd/system/" + unit)]
    others = [unit for unit in there if unit not in masked and (unit.endswith(".service") or _is_wanted(tree, unit))]
    if masked and not others:
        yield "%s is masked: sshd does not start by it" % masked[0]


SSHD_UNITS = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket")
UNIT_FOLDERS = ("/usr/lib/systemd/system/", "/lib/systemd/system/")


def _is_masked(tree, path):
    """A link to /dev/null, or an empty file."""
    try:
        return posix.stat(tree.at(path)).st_size == 0
    except OSError:
        return False


def _is_wanted(tree, unit):
    wants = "/etc/systemd/system/sockets.target.wants/" + unit
    return tree.exists(wants) or tree.dangles(wants)


# bash reads .bashrc for a command that sshd brings
ASK_SHELL = """cd; SSH_CLIENT='203.0.113.1 1 22' SHLVL=0 "$0" -c 'echo; x=$(id -u) && echo by-command'
echo 'echo; x=$(id -u) && echo by-lines' | HISTFILE= "$0" -l -i
echo; echo asked"""


def environment_path(text):
    """PATH of /etc/environment, by the last line that says so (pam_env(8)): without quotes, and nothing expanded."""
    found = ""
    for line in lines_of(text) if "PATH=" in text else ():
        line = line.strip(" \t")
        if line[:7] == "export ":
            line = line[7:].lstrip(" \t")
        if line[:5] == "PATH=":
            found = line[5:].strip("\"'")
    return found


PAM_ENV = "/etc/security/pam_env.conf"


def pam_env_path(text):
    """PATH of pam_env.conf(5), by the last line that says so: OVERRIDE, else DEFAULT. What it asks of other variables
    is empty, since sshd has set none yet."""
    found = ""
    for line in _pam_lines(text) if "PATH" in text else ():
        name, _, rest = line.partition(" ")
        said = dict(word.partition("=")[::2] for word in rest.split())
        if name == "PATH":
            found = said.get("OVERRIDE") or said.get("DEFAULT", "")
    plain, *asked = found.strip('"').split("${")
    return plain + "".join([piece.partition("}")[2] for piece in asked])


def denied_by(allow, deny):
    """The file and the line by which libwrap may keep sshd's clients out, by the texts of hosts.allow and hosts.deny
    (hosts_access(5), hosts_options(5)); two empty texts where it lets them in."""
    allowed = [line for line in lines_of(allow) if about_sshd(line)]
    for line in allowed:
        if "deny" in [option.strip() for option in line.split(":")[2:]]:
            return "/etc/hosts.allow", line
    denied = [line for line in lines_of(deny) if about_sshd(line)]
    return ("/etc/hosts.deny", denied[-1]) if denied and not allowed else ("", "")


def about_sshd(line):
    """Whether a line of hosts.allow or hosts.deny is about sshd: its list of daemons may have another behind EXCEPT."""
    daemons, about = line.partition("#")[0].partition(":")[0].replace(",", " ").split(), False
    while daemons:
        at = max([0] + [at + 1 for at, daemon in enumerate(daemons) if daemon == "EXCEPT"])
        about = not about and ("ALL" in daemons[at:] or "sshd" in daemons[at:])
        daemons = daemons[: max(at - 1, 0)]
    return about


def pam_doubts(tree, service, owner, types):
    """What PAM's rules of these types have against the owner, as far as they can be read."""
    folder, of_service = _pam_modules(tree), "" if service == "sshd" else " of " + service
    there = frozenset(tree.names(folder)) if folder else ()

    def asked(rule):
        """What PAM gets of the rule's module, and what is to be said of that."""
        kind, settings, module, rest, file, _ = rule
        name = module.rpartition("/")[2].partition(".")[0]
        if not settings:
            return "broken", "%s: %s lets nobody in" % (module, service)
        if folder and module not in there and not tree.exists(module if module[0] == "/" else folder + "/" + module):
            gone = "has lines that end in CR LF" if module[-1] == "\r" else "wants %s, which is not there" % module
            return "module_unknown", "%s %s: %s lets nobody in" % (file, gone, service)
        if name == "pam_deny":
            refused = "session_err" if kind == "session" else "auth_err"
            return refused, "pam_deny keeps everybody out%s: %s" % (of_service, file)
        kinds, ask = PAM_ASKS.get(name, ((), None))
        of_root = service == "sudo" and name == "pam_limits" and "conf=" not in rest  # those of * are not root's
        doubt = ask(tree, owner, kind, rest) if kind in kinds and not of_root else ""
        doubt = doubt and "%s may keep %s out%s: %s" % (name, owner.name, of_service, doubt)
        return "user_unknown" if doubt and name in PAM_DIRECTORIES else "success", doubt

    rules = list(pam_rules(tree, service, types))
    if not rules and folder and service == "sshd":
        where = "/etc/pam.conf alone may let " + owner.name + " in: /etc/pam.d has no rules"
        return [where if tree.exists("/etc/pam.conf") else "PAM has no rules for sshd: it lets nobody in"]
    said = [asked(rule)[1] for rule in rules if not rule[0]]
    answers = {}  # a rule is met once for every way around another

    def answer(rule):
        if id(rule) not in answers:
            answers[id(rule)] = asked(rule)
        return answers[id(rule)]

    for kind in types if rules and not said else ():
        said += _pam_walk([rule for rule in rules if rule[0] == kind], answer) or [
            "no %s rule of PAM for %s says yes: it lets nobody in" % (kind, service)
        ]
    return [without_controls(text) for at, text in enumerate(said) if text and text not in said[:at]]


def _pam_walk(rules, asked, at=0, said=()):
    """What is to be said of the rules of a type that are reached, if every module says yes of which nothing is known;
    "" for one that agrees. If none does, PAM refuses (pam.conf(5))."""
    said = list(said)
    while at < len(rules):
        settings = rules[at][1]
        got, doubt = asked(rules[at])
        if got == "success" and doubt:
            no = settings.get("default", "bad")
            harmless = no == "ignore" or no.isdigit()
            if harmless:  # it may say no, if the owner gets in around it
                agreed = _pam_walk(rules, _without_doubts(asked), *_pam_after(rules, at, no, said, ""))
                harmless = bool(agreed) and not any(agreed)
            doubt = "" if harmless else doubt
            said += [doubt] if doubt else []
        at, said = _pam_after(rules, at, settings.get(got, settings.get("default", "bad")), said, doubt)
    return said


def _without_doubts(asked):
    """The same answers, if those of whom nothing certain is known agree."""

    def sure(rule):
        got, doubt = asked(rule)
        return got, "" if got == "success" else doubt

    return sure


def _pam_after(rules, at, action, said, doubt):
    """Where PAM goes on after a rule, and what is to be said until there."""
    depth, at = rules[at][5], at + 1
    if action.isdigit():  # so many rules of this depth are left out, each with its substack
        for _ in range(int(action)):
            if at >= len(rules):  # past the last rule: PAM refuses, whatever was said before
                return at, [text for text in said if text]
            at = next((i for i in range(at + 1, len(rules)) if rules[i][5] <= depth), len(rules))
    elif action == "reset":
        said = []
    elif action != "ignore":
        said = said + [doubt]
        if action in ("done", "die"):
            at = next((i for i in range(at, len(rules)) if rules[i][5] < depth), len(rules))
    return at, said


PAM_TYPES = ("account", "session")


def pam_rules(tree, service, types):
    """PAM's rules of a service in its order, as (type, what follows from answers, module, arguments, file, depth of
    substacks); what is included stands in its place (pam.d(5)). Types it has no rule of are those of "other". Where
    PAM cannot read a rule, nothing follows, and its module is a sentence; if it then reads none at all, its type is "".
    """
    read = []
    rules = list(_pam_file(tree, _pam_path(tree, service), "", (), 0, read))
    for kind in types:
        if not any(rule[0] == kind for rule in rules):
            rules += _pam_file(tree, _pam_path(tree, "other"), kind, (), 0, read)
    return rules


def _pam_file(tree, path, only, above, depth, read):
    read.append(path)
    for line in _pam_lines(tree.text(path)):
        kind, control, module, rest = _pam_words(line)
        how = control.lower()
        if not line:
            yield only, {}, path + " ends within a line, which PAM before 1.7 does not read", "", path, depth
        elif kind == "@include":
            yield from _pam_included(tree, control, only, path, only, above, depth, read)
        kind = kind.lstrip("-")  # with "-" PAM is silent about a missing module, no more
        if kind not in ("auth", "account", "session") or (only and kind != only):
            continue
        if how in ("include", "substack"):
            yield from _pam_included(tree, module, kind, path, kind, above, depth + (how == "substack"), read)
        else:
            settings = _pam_control(control) if module else {}
            if not settings:
                module = "%s has a line that PAM does not understand (%s)" % (path, _spaced(line))
            yield kind, settings, module, rest, path, depth


def _pam_included(tree, name, kind, by, only, above, depth, read):
    path, above = _pam_path(tree, name), (*above, by)
    if path in above:
        why = by + " includes itself"
    elif len(read) >= 100:
        why = "the rules of PAM include files without end"
    elif not name:
        why = by + " includes nothing"
    elif not tree.exists(path):
        why = "%s includes %s, which is not there" % (by, name)
    else:
        yield from _pam_file(tree, path, only, above, depth, read)
        return
    yield kind, {}, why, "", by, depth


def _pam_lines(text):
    """The lines that PAM reads: without comments, joined at a backslash; "" is one that never ends."""
    whole = ""
    for line in lines_of(text):
        if not line or line[0] == "#":  # most lines
            continue
        line, comment, _ = line.partition("#")
        line = line.replace("\t", " ").strip(" ")
        if line.endswith("\\") and not comment:
            whole += line[:-1] + " "
        elif line:
            yield (whole + line).lstrip(" ")
            whole = ""
    if whole:
        yield ""


def _pam_words(line):
    """A line as type, control, module and arguments; [...] is one word (pam.d(5))."""
    kind, _, rest = line.partition(" ")
    rest = rest.lstrip(" ")
    control, closed, rest = rest.partition("]" if rest[:1] == "[" else " ")
    module, _, rest = rest.strip(" ").partition(" ")
    return kind.lower(), control + closed.strip(" "), module, _spaced(rest)


def _spaced(text):
    """The words of `text`, a space between."""
    return " ".join([word for word in text.split(" ") if word])


def _pam_control(control):
    """What follows from a module's answers, by their names; {} where PAM does not understand it."""
    if control[:1] + control[-1:] != "[]":
        return PAM_CONTROLS.get(control.lower(), {})
    settings = {}
    for word in _spaced(control[1:-1].replace(" =", "=").replace("= ", "=")).split(" "):
        answer, _, action = word.partition("=")
        jump = len(action) < 4 and not action.strip("0123456789") and action.strip("0")
        if action not in PAM_ACTIONS and not jump:
            return {}
        settings[answer] = action
    return settings


PAM_CONTROLS = {
    "required": {"success": "ok", "default": "bad"},
    "requisite": {"success": "ok", "default": "die"},
    "sufficient": {"success": "done", "default": "ignore"},
    "optional": {"success": "ok", "default": "ignore"},
}
PAM_ACTIONS = ("ignore", "bad", "die", "ok", "done", "reset")


def _pam_path(tree, name):
    """The file of PAM's rules of that name: the machine's own, or the distribution's."""
    if name.startswith("/"):
        return name
    usual = "/etc/pam.d/" + name
    return "/usr/lib/pam.d/" + name if not tree.exists(usual) and tree.exists("/usr/lib/pam.d/" + name) else usual


def _pam_modules(tree):
    """The folder of PAM's modules; "" where it is not found."""
    return next((f + "/security" for f in _library_folders(tree) if tree.exists(f + "/security/pam_unix.so")), "")


def _library_folders(tree):
    yield "/usr/lib/" + getattr(sys.implementation, "_multiarch", "")  # Debian's, without a look at all of /usr/lib
    yield from ("/usr/lib64", "/lib64", "/usr/lib", "/lib")
    for folder in ("/usr/lib", "/lib"):
        yield from [folder + "/" + name for name in tree.names(folder) if "-linux-" in name]


def _pam_access(tree, owner, kind, rest):
    file = _pam_option(rest, "accessfile") or "/etc/security/access.conf"
    if "accessfile=" in rest and not tree.exists(file):
        return file + " is not there"
    rules = [line for line in lines_of(tree.text(file)) if line.startswith("-")]
    return rules[-1] if rules else ""


def _pam_env(tree, owner, kind, rest):
    """A variable that is asked for and not closed ends the session (pam_env.conf(5))."""
    for line in _pam_lines(tree.text(_pam_option(rest, "conffile") or PAM_ENV)):
        if any("}" not in piece for piece in line.replace("@{", "${").split("${")[1:]):
            return line
    return ""


def _pam_shells(tree, owner, kind, rest):
    shell = owner.shell or "/bin/sh"
    known = not tree.exists("/etc/shells") or shell in [line.strip() for line in lines_of(tree.text("/etc/shells"))]
    if tree.exists("/etc/shells") and posix.stat(tree.at("/etc/shells")).st_mode & 0o002:
        return "everybody can write to /etc/shells"
    return "" if known else shell + " is not in /etc/shells"


def _pam_time(tree, owner, kind, rest):
    rules = [line for line in lines_of(tree.text("/etc/security/time.conf")) if line.partition("#")[0].strip()]
    return rules[-1] if rules else ""


def _pam_limits(tree, owner, kind, rest):
    """Limits that let nobody in (limits.conf(5)), and a file of limits without which PAM opens no session."""
    conf = _pam_option(rest, "conf")
    usual = [place + "limits.conf" for place in PAM_PLACES]
    if not any(tree.exists(file) for file in ([conf] if conf else usual)):
        return (conf or usual[0]) + " is not there"
    folder = "/etc/security/limits.d"
    more = [folder + "/" + name for name in tree.names(folder) if name.endswith(".conf") and name[0] != "."]
    for file in [conf] if conf else ["/etc/security/limits.conf"] + more:
        for line in lines_of(tree.text(file)):
            words = line.partition("#")[0].split()
            small = len(words) == 4 and is_number(words[3], 0, PAM_LEAST.get(words[2], 0) - 1)
            if small or len(words) == 4 and words[2] == "chroot":
                if _limited(tree, owner, words[0]):
                    return " ".join(words)
    return ""


PAM_PLACES = ("/etc/security/", "/usr/share/pam/security/", "/usr/etc/security/")

# Items of limits.conf(5), and the least with which a shell can be had: KiB, programs, files, minutes, logins
PAM_LEAST = {
    "as": 1024,
    "data": 1024,
    "stack": 64,
    "nproc": 4,
    "nofile": 10,
    "cpu": 1,
    "maxlogins": 1,
    "maxsyslogins": 1,
}


def _limited(tree, owner, whom):
    """Whether a limit is for the owner: all, a name, @GROUP, %GROUP, or a range of user ids."""
    if whom[0] in "@%" and whom[1:]:
        return whom[1:] in groups_with(tree, owner.name)
    least, _, most = whom.partition(":")
    if least + most and least + ":" + most == whom and not (least + most).strip("0123456789"):
        return int(least or most) <= owner.uid <= int(most or owner.uid)
    return whom in ("*", "%", owner.name)


def _pam_option(rest, name):
    """The argument NAME=, or ""."""
    return next((word[len(name) + 1 :] for word in rest.split(" ") if word.startswith(name + "=")), "")


def _pam_nologin(tree, owner, kind, rest):
    file = _pam_option(rest, "file")  # /etc/nologin is told of apart, and /run/nologin goes when the boot is done
    return file + " is there" if file and tree.exists(file) else ""


def _pam_localuser(tree, owner, kind, rest):
    file = _pam_option(rest, "file")
    return "" if not file or "\n" + owner.name + ":" in "\n" + tree.text(file) else rest


def _pam_loginuid(tree, owner, kind, rest):
    return "there is no auditd" if "require_auditd" in rest and not tree.has_tool("auditd") else ""


def _pam_namespace(tree, owner, kind, rest):
    places = [place + "namespace.conf" for place in PAM_PLACES]
    return "" if any(tree.exists(place) for place in places) else places[0] + " is not there"


def _pam_debug(tree, owner, kind, rest):
    said = _pam_option(rest, {"auth": "auth", "account": "acct", "session": "open_session"}[kind])
    return rest if said not in ("", "success") else ""


def _pam_usertype(tree, owner, kind, rest):
    return rest if "issystem" in rest.split(" ") else ""


def _pam_succeed_if(tree, owner, kind, rest):
    words = [word for word in rest.split(" ") if not word.startswith(("quiet", "use_uid"))]
    regular = words[:2] == ["uid", ">="] and words[3:] == [] and is_number(words[2], 0, owner.uid)
    if words[:2] == ["user", "ingroup"] and len(words) == 3:
        regular = words[2] in groups_with(tree, owner.name)
    return "" if regular else rest or "?"


def _pam_directory(tree, owner, kind, rest):
    return "" if "ignore_unknown_user" in rest.split(" ") else "it knows no account of this machine"


def _pam_rest(tree, owner, kind, rest):
    return rest or "?"


# module: (the types of rules that can keep somebody out by it, what it has against the owner)
PAM_ASKS = {
    "pam_env": (("auth", "session"), _pam_env),
    "pam_access": (("auth", "account", "session"), _pam_access),
    "pam_shells": (("auth", "account"), _pam_shells),
    "pam_time": (("account",), _pam_time),
    "pam_wheel": (("account",), _pam_rest),
    "pam_nologin": (("auth", "account"), _pam_nologin),
    "pam_localuser": (("auth", "account"), _pam_localuser),
    "pam_loginuid": (("session",), _pam_loginuid),
    "pam_limits": (("session",), _pam_limits),
    "pam_exec": (("auth", "account", "session"), _pam_rest),
    "pam_listfile": (("auth", "account"), _pam_rest),
    "pam_succeed_if": (("auth", "account"), _pam_succeed_if),
    "pam_namespace": (("session",), _pam_namespace),
    "pam_setquota": (("session",), _pam_rest),
    "pam_userdb": (("auth", "account"), _pam_rest),
    "pam_ftp": (("auth",), _pam_rest),
    "pam_rhosts": (("auth",), _pam_rest),
    "pam_debug": (("auth", "account", "session"), _pam_debug),
    "pam_usertype": (("auth", "account"), _pam_usertype),
    "pam_sss": (("account",), _pam_directory),
    "pam_ldap": (("account",), _pam_directory),
    "pam_winbind": (("account",), _pam_directory),
}
PAM_DIRECTORIES = ("pam_sss", "pam_ldap", "pam_winbind")


def _bounds(wishes, sshd):
    """What sshd lets the owner do no more than, and what only others can tell."""
    if wishes.keys and keys_from_elsewhere(sshd):
        yield keys_from_elsewhere(sshd)
    yield from _by_address(sshd, wishes.user)
    for keyword, name in (
        ("ciphers", "Ciphers"),
        ("kexalgorithms", "KexAlgorithms"),
        ("hostkeyalgorithms", "HostKeyAlgorithms"),
    ):
        offered = sshd.says(keyword, "")
        if offered and offered[0] not in "+-^" and not sshd.plain:
            if not any(word.startswith(MODERN[keyword]) for word in offered.split(",")):
                yield "sshd offers nothing that clients of today take: %s %s" % (name, offered)
    yield from _old_by_parts(wishes, sshd)
    if any(word.startswith("PATH=") for word in sshd.words("setenv")):
        yield "sshd's SetEnv %s holds for %s" % (" ".join(sshd.words("setenv")), wishes.user)
    for keyword, name in (("forcecommand", "ForceCommand"), ("chrootdirectory", "ChrootDirectory")):
        if (wishes.keys or wishes.password) and sshd.says(keyword, "none") != "none":
            yield "sshd's %s %s holds for %s" % (name, " ".join(sshd.words(keyword)), wishes.user)


def _old_by_parts(wishes, sshd):
    """What clients of today do not take of sshd, where it depends on more than one setting."""
    ciphers, macs = sshd.says("ciphers", "").split(","), sshd.says("macs", "").split(",")
    if macs[0] and macs[0][0] not in "+-^" and not any(word.startswith(WITHOUT_MAC) for word in ciphers if ciphers[0]):
        if ciphers[0] and not any((word + ",").startswith(MODERN_MACS) for word in macs):
            yield "sshd offers nothing that clients of today take: MACs " + ",".join(macs)
    accepted = sshd.says("pubkeyacceptedalgorithms", "+").split(",")
    if wishes.keys and accepted[0][0] not in "+-^" and all(key_identity(key)[0] == "ssh-rsa" for key in wishes.keys):
        if not listed(_SIGNATURES["ssh-rsa"][:2], accepted):
            yield "sshd takes RSA keys by SHA-1 alone, which clients of today do not use: PubkeyAcceptedAlgorithms"


WITHOUT_MAC = ("chacha20-poly1305", "aes128-gcm", "aes256-gcm")
MODERN_MACS = ("umac-", "hmac-sha2-", "hmac-sha1,", "hmac-sha1-etm")

# What clients of OpenSSH 9 ask for by themselves
MODERN = {
    "ciphers": ("chacha20-poly1305", "aes128-ctr", "aes192-ctr", "aes256-ctr", "aes128-gcm", "aes256-gcm"),
    "kexalgorithms": (
        "curve25519-", "ecdh-sha2-", "diffie-hellman-group14-sha256", "diffie-hellman-group16",
        "diffie-hellman-group18", "diffie-hellman-group-exchange-sha256", "sntrup761", "mlkem768",
    ),
    "hostkeyalgorithms": ("rsa-sha2", "ecdsa-", "ssh-ed25519", "sk-"),
}  # fmt: skip


def _by_address(sshd, user):
    """Patterns with a host by which sshd lets the user in, or keeps them out."""
    for keyword in ("allowusers", "denyusers"):
        patterns = _of_everywhere(sshd.words(keyword))
        names = [pattern for pattern in patterns if "@" not in pattern]
        for pattern in patterns if not named([user], names) else ():
            if "@" not in pattern or not fits(user, pattern.partition("@")[0]):
                continue
            yield "sshd's %s %s may keep %s out, by where the connection comes from" % (
                _SPELLED[keyword],
                pattern,
                user,
            )


def _sudo_in_doubt(tree, user):
    """A warning when the user does not become root without a password, by the answer of sudo or doas, else ""; and
    whether sudo was seen to make them root."""
    if tree.has_tool("sudo"):
        if not tree.live:
            return "", False
        closed = _sudo_is_closed(tree, user)
        if closed or sudo_is_plain(tree, user):
            return closed, False
        try:
            listing = tree.run(["sudo", "-n", "-l", "-U", user]).decode("utf-8", "replace")
        except (CommandFailed, TimeLimit) as error:
            doubt, proven = _tried_sudo(tree, user)  # which root may not be allowed to ask
            return "" if proven else "whether %s may sudo is not known: %s" % (user, error), proven
        if sudo_asks(listing):
            return "%s cannot become root: sudo wants a password that nobody has" % user, False
        return _tried_sudo(tree, user)
    return _doas_in_doubt(tree, user), False


def _doas_in_doubt(tree, user):
    doas = tree.has_tool("doas")
    if doas and tree.live:
        try:
            if tree.exists("/etc/doas.conf"):
                tree.run(["doas", "-C", "/etc/doas.conf"])
        except (CommandFailed, TimeLimit) as error:
            return "%s cannot become root: %s" % (user, error)
        return _tried_sudo(tree, user, "doas")[0]
    elif tree.live and tree.exists("/etc/sudoers.d") and not doas:
        return "%s cannot become root: there is no sudo" % user
    return ""


def _sudo_bounds(tree, user):
    """What sudo's settings let the user do no more than, where their rule is in force (sudoers(5): Defaults)."""
    said, bounds = sudo_settings(_sudoers_texts(tree, tree.text("/etc/sudoers")), user), []
    if said.get("requiretty") == "yes":
        bounds.append("sudo wants a terminal: requiretty")
    if said.get("runas_default", "root") not in ("root", "#0"):
        bounds.append("sudo makes %s %s, and not root: runas_default" % (user, said["runas_default"]))
    path = said.get("secure_path", "no")
    if path not in ("", "no") and not any(tree.exists(folder + "/sh") for folder in reversed(path.split(":"))):
        bounds.append("sudo finds no programs: secure_path %s" % path)
    for name in ("runchroot", "runcwd"):
        if said.get(name, "")[:1] == "/" and not tree.exists(said[name]):
            bounds.append("sudo starts no program: %s %s is not there" % (name, said[name]))
    return bounds


def _sudoers_texts(tree, main):
    """What sudo reads but for what is ours: /etc/sudoers, whose text is `main`, and the files of its folder."""
    others = others_of(tree.names("/etc/sudoers.d"))
    return [unmarked(main)] + [tree.text("/etc/sudoers.d/" + other) for other in others]


USUAL_DEFAULTS = frozenset(
    """
always_query_group_plugin always_set_home badpass_message editor env_editor env_keep env_reset insults lecture
log_host log_year mail_badpass mailto match_group_by_gid passprompt passwd_timeout passwd_tries pwfeedback secure_path
setenv syslog timestamp_timeout tty_tickets use_pty visiblepw
""".split()
)


def _defaults(texts):
    """What sudoers sets, line by line: for whom ("" for everybody, else :USER, @HOST …), and the settings."""
    for text in texts:
        for line in lines_of(text) if "Defaults" in text else ():
            line = line.strip(" \t").replace("\t", " ") if "Defaults" in line else ""
            if line.startswith("Defaults"):
                scope, _, settings = line[len("Defaults") :].partition(" ")
                yield scope, settings


def _defaults_are_usual(texts):
    """Whether sudoers says to everybody nothing but what is known here, which keeps nobody from becoming root."""
    for scope, settings in _defaults(texts):
        names = [item.partition("=")[0].strip(" !+-") for item in settings.partition("#")[0].split(",")]
        odd = "\\" in settings or '"' in settings and ("#" in settings or "," in settings)  # for sudo itself to read
        if scope or odd or not USUAL_DEFAULTS.issuperset(names):
            return False
    return True


def _tried_sudo(tree, user, tool="sudo"):
    """What sudo (or doas) itself says where the user does not become root by it, "" where they do or cannot be asked;
    and whether they do."""
    said = _said_as(tree, user, tool + " -n id -u; echo asked")
    if "asked" not in said or "0" in said:
        return "", "0" in said
    made = said[-2] if said[1:] else tool + " ends without a word"
    return "%s cannot become root: %s" % (
        user,
        tool + " makes " + made if is_number(made, 1, 1 << 32) else printable(made),
    ), False


def _said_as(tree, user, script, *words, limit=COMMAND_LIMIT):
    """What a script of sh prints, run as a user with `words` as its arguments, by lines; none where su fails."""
    try:
        output = tree.run(["su", "-s", "/bin/sh", user, "-c", script, *words], b"", limit)
    except (CommandFailed, TimeLimit):
        return []
    return [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]


def sudo_settings(texts, user):
    """Defaults of sudoers for everybody and for this user, by their names; a switch is yes or no."""
    said = {}
    for scope, settings in _defaults(texts):
        if scope not in ("", ":" + user):
            continue
        for item in settings.partition("#")[0].split(","):
            name, equals, value = item.strip(" ").partition("=")
            switch = "no" if name[:1] == "!" else "yes"
            said[name.strip("! ")] = value.strip(' "') if equals else switch
    return said


def _sudo_is_closed(tree, user):
    """A warning when the program itself makes nobody root, by its owner and mode; "" when it does."""
    path = tree.tool("sudo")
    if not path:
        return ""
    status = posix.stat(path)
    if status.st_uid != 0 or not status.st_mode & 0o4000:
        return "%s cannot become root: %s is not setuid root" % (user, path)
    if not status.st_mode & 0o001 and not (status.st_mode & 0o010 and _is_in(tree, user, status.st_gid)):
        return "%s may not run %s, which has mode %o" % (user, path, status.st_mode & 0o7777)
    if posix.statvfs(path).f_flag & posix.ST_NOSUID:
        return "%s cannot become root: %s is on a file system that is mounted nosuid" % (user, path)
    return ""


def sudo_is_plain(tree, user):
    """Whether sudoers is read as we wrote it: our rule, which is for this user, is the last that sudo sees."""
    names = tree.names("/etc/sudoers.d")
    ours = "/etc/sudoers.d/" + rule_name(names, "90-azure-provisioning")
    main = tree.text("/etc/sudoers")
    if "\n%s ALL=" % sudoers_name(user) not in tree.text(ours):
        return False
    last = all("/etc/sudoers.d/" + other < ours for other in others_of(names))
    if not (last and last_word_is_include(unmarked(main))) and "#include " + ours not in main:
        return False
    for line in lines_of(tree.text("/etc/nsswitch.conf")):
        if line.startswith("sudoers:") and line.partition("#")[0].split()[1:] != ["files"]:
            return False
    for line in lines_of(tree.text("/etc/sudo.conf")):
        words = line.split() if line.lstrip()[:1] == "P" else []
        if words[:1] == ["Plugin"] and words[2:] != ["sudoers.so"] or words[:2] == ["Path", "plugin_dir"]:
            return False
    return rules_are_usual(main) and _defaults_are_usual(_sudoers_texts(tree, main))


def rules_are_usual(main):
    """Whether sudoers holds no rules of its own but for root and groups."""
    lines = [line.split() for line in unmarked(main).splitlines()]
    return all(not words or words[0][0] in "#@%" or words[0] == "root" or words[0][:8] == "Defaults" for words in lines)


STEPS = (
    ("hostname", step_hostname),
    ("user", step_user),
    ("sudo", step_sudo),
    ("keys", step_keys),
    ("password", step_password),
    ("host-keys", step_host_keys),
    ("sshd", step_sshd),
    ("custom-data", step_custom_data),
    ("entropy", step_entropy),
    ("grow", step_grow),
    ("hooks", step_hooks),
    ("ovf-copy", step_ovf_copy),
    ("access", step_access),
)
STEP_NAMES = tuple(name for name, _ in STEPS)


def take_step(name, step, tree, wishes, settings):
    """One step, with its time; whatever goes wrong in it becomes a Failed that names it."""
    began = time.monotonic()
    try:
        done = step(tree, wishes, settings)
    except Failed as failure:
        failure.facts = (("step", name),) + failure.facts
        raise
    except (CommandFailed, OSError, ValueError) as error:
        raise Failed("failure in step " + name, ("step", name), ("error", error)) from None
    except TimeLimit:
        raise Failed("failure in step " + name, ("step", name), ("error", "a program does not end")) from None
    say("%s: %s (%d ms)" % (name, done, (time.monotonic() - began) * 1000))


# ---------------------------------------------------------------------------------------------------------------------
# State: two facts, each bound to a VM id: the steps were applied; the platform accepted the report.
# ---------------------------------------------------------------------------------------------------------------------


def has_stamp(tree, name, vm_id):
    """Whether a stamp is there and names this VM."""
    return same_vm(tree.text(STATE + "/" + name).partition("\n")[0], vm_id)


def stamp_applied(tree, vm_id):
    """Say durably that this VM is provisioned, in both byte orders of its id: so the clone guard needs no program."""
    vm_id = canonical(vm_id)
    text = "%s\n%s\n" % (vm_id, swapped(vm_id)) if vm_id else "unknown\n"
    tree.write(STATE + "/applied", text.encode(), 0o600)
    tree.sync()


def stamp_reported(tree):
    """Say durably that the platform knows: a second name of what `applied` says, which is on the disk already."""
    tree.remove(STATE + "/reported")
    tree.link(STATE + "/applied", STATE + "/reported")
    tree.sync()


def read_vm_id(tree, options):
    """The VM id by DMI, "" when there is none. Generation 1 hosts show it with the first three fields swapped."""
    if options.vm_id:
        return canonical(options.vm_id)
    uuid = canonical(tree.text("/sys/class/dmi/id/product_uuid"))
    return swapped(uuid) if uuid and not tree.exists("/sys/firmware/efi") else uuid


def disable(tree):
    """Switch the unit off by removing its links: `systemctl disable` makes a booting system read all units again."""
    places = [("/etc/systemd/system/multi-user.target.wants", UNIT)]
    places += [("/etc/runlevels/" + level, AGENT) for level in tree.names("/etc/runlevels")]
    for level in "2345" if tree.exists("/etc/init.d/" + AGENT) else "":
        folder = "/etc/rc%s.d" % level
        places += [(folder, name) for name in tree.names(folder) if name[:1] == "S" and name[3:] == AGENT]
    places += [("/etc/service", AGENT)]
    places += [("/etc/runit/runsvdir/" + level, AGENT) for level in tree.names("/etc/runit/runsvdir")]
    for folder, name in places:
        try:
            if tree.remove(folder + "/" + name):
                say("%s is off from now on" % (folder + "/" + name))
        except OSError as error:  # read-only /etc: the stamp keeps later boots quiet
            warn("%s/%s stays: %s" % (folder, name, error.strerror))


# ---------------------------------------------------------------------------------------------------------------------
# Report.
# ---------------------------------------------------------------------------------------------------------------------

JSON_AT_ONCE = (400, 403, 404, 405, 501)  # answers to the goal state request that mean: not this way


class Reporter:
    """Tells the platform how it went, and keeps trying until `until`."""

    def __init__(self, tree, options, form, network, until):
        self._tree, self._options, self._form, self._network = tree, options, form, network
        self._until = until
        self._teller = Teller("report")
        self._failures, self._leased = 0, ""
        self.vm_id = ""

    def send(self, state, substatus="", detail="", once=False):
        """Report; returns "" when the platform accepted, else why not."""
        began = time.monotonic()
        patience = began + min(60.0, (self._until - began) / 4)
        while True:
            problem = None
            if self._form != "json":
                problem = self._send_xml(state, substatus, detail)
            if self._form == "json" or (self._form == "auto" and problem and self._json_now(problem, patience)):
                problem = self._send_json(state, substatus, detail)
            if problem is None:
                return ""
            self._teller.tell(problem.text)
            self._failures += 1
            if once or time.monotonic() >= self._until:
                return problem.text
            self._network.pause(problem, self._until)

    def _json_now(self, problem, patience):
        refused = problem.response and problem.reason == "goal state" and problem.response.status in JSON_AT_ONCE
        return refused or time.monotonic() >= patience

    def _address(self):
        """The WireServer: the option, or the lease's option 245, or the address that is documented; after three
        failures those two by turns."""
        if self._options.wireserver:
            return parse_url(self._options.wireserver)
        if self._failures < 3 or self._failures % 4 == 0:
            self._leased = leased_wireserver(self._tree)
        documented = not self._leased or self._failures >= 3 and self._failures % 2
        return WIRESERVER if documented else self._leased, 80

    def _send_xml(self, state, substatus, detail):
        address = self._address()
        headers = [("x-ms-version", "2012-11-30"), ("x-ms-agent-name", AGENT)]
        response, problem = try_fetch(address, "GET", "/machine?comp=goalstate", headers)
        if problem:
            return _named(problem, "goal state")
        if response.status != 200:
            return Problem("goal state", "goal state: %s" % response, response=response)
        try:
            goal = parse_goal_state(response.body)
        except ValueError as error:
            return Problem("goal state", str(error), response=response)
        say("ContainerId: " + goal.container)
        say("InstanceId: " + goal.instance)
        say("Incarnation: " + goal.incarnation)
        headers.append(("Content-Type", "text/xml; charset=utf-8"))
        body = health_xml(goal, state, substatus, detail)
        return _judged(*try_fetch(address, "POST", "/machine?comp=health", headers, body))

    def _send_json(self, state, substatus, detail):
        address = self._address()
        headers = [("x-ms-guest-agent-name", "%s/%s" % (AGENT, VERSION)), ("Content-Type", "application/json")]
        body = health_json(state, substatus, detail)
        return _judged(*try_fetch(address, "POST", "/provisioning/health", headers, body))


def _named(problem, what):
    problem.text = "%s: %s" % (what, problem.text)
    return problem


def _judged(response, problem):
    """The answer to a report: any 2xx is success."""
    if problem:
        return _named(problem, "health report")
    say("Response: %s" % response)
    if 200 <= response.status < 300:
        return None
    return Problem("health report", "health report: %s" % response, response=response)


def write_kvp(tree, fields):
    """PROVISIONING_REPORT for the host, in Hyper-V's pool. A courtesy: whatever goes wrong in it stops no report."""
    if not tree.exists("/var/lib/hyperv") or tree.dry_run:
        return
    record = kvp_record("PROVISIONING_REPORT", "|".join(["%s=%s" % field for field in fields]))
    try:
        descriptor = posix.open(tree.at(KVP_POOL), posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW, 0o644)
        try:
            _put_record(descriptor, record)
        finally:
            posix.close(descriptor)
    except (OSError, TimeLimit) as error:
        warn("%s: %s" % (KVP_POOL, getattr(error, "strerror", None) or "somebody holds its lock; nothing is written"))


def _put_record(descriptor, record):
    """Fixed records; one key has one record. Raises TimeLimit when the lock is not to be had within a second."""
    import fcntl

    until = time.monotonic() + 1
    while True:
        try:  # both locks, as cloud-init and azure-init do; the kernel's daemon uses the second
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() > until:
            raise TimeLimit
        time.sleep(0.05)
    at, size = 0, len(record)
    while True:
        other = posix.pread(descriptor, size, at)
        if len(other) < size or other[:KVP_KEY] == record[:KVP_KEY]:
            break
        at += size
    posix.pwrite(descriptor, record, at)


def facts_now(vm_id):
    return (
        ("agent", "%s/%s" % (AGENT, VERSION)),
        ("vm_id", vm_id or "unknown"),
        ("timestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Main.
# ---------------------------------------------------------------------------------------------------------------------


def provision(tree, options, settings, reporter, network, until, announce):
    """Everything but the report. Returns the wishes, and whether the steps were taken now."""
    began = time.monotonic()
    imds, medium = gather(tree, options, settings, network, began + (until - began) * 0.9)
    vm_id = reporter.vm_id = reporter.vm_id or canonical(text_at(imds or {}, "compute", "vmId"))
    wishes = decide(imds, medium, vm_id)
    for remark in wishes.remarks:
        warn(remark)
    if has_stamp(tree, "applied", vm_id) and not options.only:  # only IMDS could say which VM this is
        return wishes, False
    announce()
    try:
        tree.folder(STATE, 0o700)
    except OSError as error:
        warn("%s: %s: this VM is provisioned again at each boot" % (STATE, error.strerror))
    skipped = set(options.skip) | set(step_list(settings["SKIP"])[0])
    settings = dict(settings, SKIP=",".join(skipped))
    for name, step in STEPS:
        if (not options.only or name in options.only) and name not in skipped:
            take_step(name, step, tree, wishes, settings)
    tree.sync()
    if not options.only and not tree.dry_run:
        try:
            stamp_applied(tree, vm_id)
        except OSError as error:
            warn("%s: %s: this VM is provisioned again at each boot" % (STATE, error.strerror))
    return wishes, True


def run(tree, options, settings, vm_id, began):
    """The verb run. Returns the exit code."""
    until = began + int(options.deadline or settings["DEADLINE"])
    applied = has_stamp(tree, "applied", vm_id) and not options.only
    form = options.report or settings["REPORT"]
    if applied and (has_stamp(tree, "reported", vm_id) or form == "none"):
        return nothing_to_do(tree, vm_id, form)
    network = Network()
    reporter = Reporter(tree, options, form, network, until)
    reporter.vm_id = vm_id
    silent = _why_silent(options, form)
    if not silent:
        untold(tree)

    def announce():
        if settings["EARLY_REPORT"] == "yes" and not silent:
            reporter.send("NotReady", "Provisioning", "provisioning has begun", once=True)

    name = tree.text("/etc/hostname").strip()
    if applied:
        say("VM %s is provisioned already: reporting again" % vm_id)
    else:
        try:
            wishes, taken = provision(tree, options, settings, reporter, network, until, announce)
        except Failed as failure:
            return fail(tree, settings, reporter, failure, reporter.vm_id, silent)
        except Exception as error:  # a mistake of ours, or a full disk: the platform is told all the same
            failure = Failed("unhandled exception", ("error", _told(error)))
            return fail(tree, settings, reporter, failure, reporter.vm_id, silent)
        vm_id, name = wishes.vm_id, wishes.hostname or name
        if not taken and has_stamp(tree, "reported", vm_id):
            return nothing_to_do(tree, vm_id, form)
    return finish(tree, settings, reporter, vm_id, name or "this VM", began, silent)


def nothing_to_do(tree, vm_id, form):
    """This VM has its stamps. Returns the exit code."""
    if form != "none":
        disable(tree)
    say("VM %s is provisioned%s already: nothing to do" % (vm_id, "" if form == "none" else " and reported"))
    return 0


def _told(error):
    """An exception without what it may quote: its type and place; an OSError also says what it met."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    text = "%s at line %d" % (type(error).__name__, place.tb_lineno if place else 0)
    if isinstance(error, OSError) and error.strerror:
        text += ": %s %s" % (error.strerror, error.filename or "")
    return text.rstrip()


def _why_silent(options, form):
    """Why this run reports nothing; "" when it does."""
    if options.only:
        return "--only"
    if options.dry_run:
        return "--dry-run"
    return "REPORT=none" if form == "none" else ""


def told(tree):
    """This run says itself how it went: the unit that speaks for programs that did not run has nothing to say."""
    try:
        tree.folder(RUN, 0o700)
        posix.close(posix.open(tree.at(RUN + "/told"), posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW, 0o600))
    except OSError as error:
        warn("%s/told: %s" % (RUN, error.strerror))


def untold(tree):
    """What an earlier run of this boot told is no word on this one."""
    try:
        posix.unlink(tree.at(RUN + "/told"))
    except OSError:
        pass


def finish(tree, settings, reporter, vm_id, name, began, silent):
    """Report Ready, then switch the unit off. Returns the exit code."""
    if silent:
        say("Provisioned %s in %.2f s: not reported (%s)" % (name, time.monotonic() - began, silent))
        return 0
    if settings["KVP"] == "yes":
        write_kvp(tree, (("result", "success"),) + facts_now(vm_id))
    refused = reporter.send("Ready")
    took = time.monotonic() - began
    if refused:
        told(tree)
        say("Provisioned %s in %.2f s, but not reported: %s; the next boot reports again" % (name, took, refused))
        return 2
    try:
        stamp_reported(tree)
    except OSError as error:
        if tree.exists(STATE + "/applied"):
            warn("%s: %s: the next boot reports again" % (STATE, error.strerror))
    disable(tree)
    say("Provisioned %s in %.2f s: reported Ready" % (name, took))
    return 0


def fail(tree, settings, reporter, failure, vm_id, silent):
    """Report that provisioning failed, and why. Returns the exit code."""
    for remark in failure.remarks:
        warn(remark)
    for key, value in failure.facts:
        say("%s: %s" % (key, value))
    if silent:
        say("Provisioning failed: " + failure.reason)
        return 1
    facts = tuple((key, str(value)) for key, value in failure.facts) + facts_now(vm_id)
    text = description(failure.reason, facts)
    if settings["KVP"] == "yes":
        write_kvp(tree, (("result", "error"), ("reason", text)))
    refused = reporter.send("NotReady", "ProvisioningFailed", text)
    told(tree)
    if refused:
        say("Provisioning failed: %s; not reported: %s" % (failure.reason, refused))
        return 2
    say("Provisioning failed: " + failure.reason)
    return 1


def report(tree, options, settings, vm_id, began):
    """The verb report. Returns the exit code."""
    deadline = int(options.deadline or settings["DEADLINE"])
    form = options.report or settings["REPORT"]
    form = "auto" if form == "none" else form
    silent = options.dry_run and "--dry-run"
    vm_id = vm_id or canonical(tree.text(STATE + "/applied").partition("\n")[0])  # no DMI: as the last run found out
    failed, waits = options.failed, options.in_progress or options.wait_for
    if waits and not has_stamp(tree, "reported", vm_id):
        reporter = Reporter(tree, options, form, Network(), began + deadline)
        known = work_goes_on(tree, options, reporter, began + deadline) if not silent else "up"
        if options.in_progress:
            return 0 if known else 2
        failed = None if known == "up" else known
    if not silent:
        lock(tree)
    reporter = Reporter(tree, options, form, Network(), time.monotonic() + deadline)
    if failed is not None:
        code = fail(tree, settings, reporter, Failed(failed), vm_id, silent)
        return 2 if code == 2 else 0
    if not has_stamp(tree, "applied", vm_id):
        say("Nothing is reported: VM %s is not provisioned yet" % (vm_id or "unknown"))
        return 1
    if has_stamp(tree, "reported", vm_id):
        say("VM %s is provisioned and reported already: nothing to do" % vm_id)
        return 0
    name = tree.text("/etc/hostname").strip() or "this VM"
    return finish(tree, settings, reporter, vm_id, name, began, silent)


def work_goes_on(tree, options, reporter, until):
    """Tell the platform every S seconds that work goes on, until the deadline or until systemd knows how it went with
    the unit. Returns that: "up", or why it is not; with --in-progress "" where the last report was not accepted."""
    every = int(options.every or 60)
    while True:
        left = max(0, int(until - time.monotonic()))
        known = await_unit(tree, options.wait_for, min(every, left)) if options.wait_for else ""
        if known or options.wait_for and not left:
            return known or "%s is not up in time" % options.wait_for
        detail = "waiting for " + options.wait_for if options.wait_for else "still at work"
        refused = reporter.send("NotReady", "Provisioning", detail, once=True)
        if options.in_progress:
            if not options.every or left < every:
                say("Not reported: " + refused if refused else "Reported that work goes on")
                return "" if refused else detail
            time.sleep(every)


def await_unit(tree, unit, seconds):
    """What await-unit prints of a unit: "up", or why it will not be; "" when neither is known after so many seconds."""
    try:
        words = ["/bin/sh", tree.at(PROGRAM + "/await-unit"), unit, str(seconds)]
        return tree.run(words, limit=seconds + COMMAND_LIMIT).decode("utf-8", "replace").strip()
    except (CommandFailed, TimeLimit):
        return "systemd cannot be asked of %s" % unit


def name(tree, options, settings, vm_id, began):
    """The verb name: asks nobody, so that the first DHCP request can carry the right name. Returns the exit code."""
    if has_stamp(tree, "applied", vm_id) or "hostname" in options.skip + step_list(settings["SKIP"])[0]:
        say("The host name is as it should be: nothing to do")
        return 0
    try:
        medium = read_medium(tree, options, set())
        wishes = Wishes()
        wishes.hostname = _decide_hostname({}, medium or Medium(), [])
        take_step("hostname", step_hostname, tree, wishes, settings)
        tree.sync()
    except (Failed, OSError) as error:
        warn("not named yet: %s" % (_told(error) if isinstance(error, OSError) else error))
    return 0


VERBS = {"run": run, "report": report, "name": name}


def not_azure(tree, options):
    """Why this is not an Azure VM; "" when it is one."""
    if options.platform == "azure":
        return ""
    tag = printable(tree.text("/sys/class/dmi/id/chassis_asset_tag").strip(), 60)
    return "" if tag == ASSET_TAG else tag or "none"


def lock(tree):
    """One run at a time. The lock is the process's; it ends with it."""
    import fcntl

    flags = posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW
    try:
        tree.folder(RUN, 0o700)
        fcntl.flock(posix.open(tree.at(RUN + "/lock"), flags, 0o600), fcntl.LOCK_EX)
    except OSError as error:
        warn("no lock: " + _told(error))


def act(options, began):
    """Carry out a parsed command line. Returns the exit code."""
    tree = Tree(options.root, options.dry_run)
    if tree.live and posix.geteuid() != 0:
        say("azure-provisioning must run as root; --root DIR acts on a tree")
        return 77
    if not tree.live and not tree.exists("/."):
        raise Usage("--root %s is no folder" % options.root)
    tag = not_azure(tree, options)
    if tag:
        say("Not on Azure (chassis asset tag: %s): nothing to do" % tag)
        return 0
    posix.umask(0o022)  # some inits start services with one that closes /etc/hosts, or opens it
    settings, warnings = parse_settings(tree.text(options.config))
    vm_id = read_vm_id(tree, options)
    say(
        "%s %s (python %d.%d.%d): VM %s, generation %d"
        % ((AGENT, VERSION) + sys.version_info[:3] + (vm_id or "unknown", 2 if tree.exists("/sys/firmware/efi") else 1))
    )
    for warning in warnings:
        warn(warning)
    if not tree.dry_run and options.verb != "report":  # which locks when it has waited
        lock(tree)
    return VERBS[options.verb](tree, options, settings, vm_id, began)


def main(words):
    """The program: returns its exit code."""
    began = time.monotonic()
    for flag, text in (
        ("--version", "%s %s\n" % (AGENT, VERSION)),
        ("--steps", "".join([name + "\n" for name in STEP_NAMES])),
        ("--help", USAGE.format(imds=IMDS, wireserver=WIRESERVER, settings=SETTINGS)),
    ):
        if flag in words:
            write_all(1, text.encode())
            return 0
    try:
        return act(parse_options(words), began)
    except Usage as error:
        say("provision.py: %s" % error)
        return 64


def start():
    """Run and leave at once: nothing is open that the kernel does not close faster than the interpreter does. And in a
    moment nothing gathers that would be worth a search for it."""
    import _signal
    import gc

    gc.disable()
    # An init that has its children reaped by the kernel passes that on: no program's end would be seen.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    posix._exit(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
