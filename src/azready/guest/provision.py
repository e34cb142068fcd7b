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
"""

import errno
import posix
import sys
import time

VERSION = "0.1.0"
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

YES_NO = ("yes", "no")
# key: (default, allowed texts, or the smallest and largest number of seconds, or None for a list of steps)
SETTING = {
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
    "SKIP": ("", None),
}

USAGE = """\
usage: provision.py [run] [OPTION...]                   apply what the VM's owner asked for, then report
       provision.py report [--failed TEXT] [OPTION...]  only report: Ready, or that provisioning failed and why
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
        "skip", "dry_run", "failed",
    )  # fmt: skip

    def __init__(self):
        self.verb, self.root, self.imds, self.wireserver, self.medium = "run", "/", IMDS, "", ""
        self.platform, self.vm_id, self.config = "auto", "", SETTINGS
        self.deadline, self.report, self.only, self.skip = "", "", (), ()
        self.dry_run, self.failed = False, None


def parse_options(words):
    """Read the command line. Raises Usage with a line that says what is allowed."""
    options = Options()
    words = list(words)
    if words and words[0] in ("run", "report", "name"):
        options.verb = words.pop(0)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name == "--dry-run" and not equals:
            options.dry_run = True
            continue
        if name not in _TAKES_VALUE:
            raise Usage("unknown option or verb %r: see --help" % name)
        if not equals:
            if not words:
                raise Usage("%s needs a value" % name)
            value = words.pop(0)
        field = name[2:].replace("-", "_")
        setattr(options, field, _TAKES_VALUE[name](name, value))
    if options.failed is not None and options.verb != "report":
        raise Usage("--failed belongs to the verb report")
    return options


def _text(name, value):
    if not value:
        raise Usage("%s needs a value" % name)
    return value


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
    "--failed": _text,
}


def parse_settings(text):
    """Read KEY=value lines. Returns the settings with defaults filled in, and warnings about what was not followed."""
    values = {key: default for key, (default, _) in SETTING.items()}
    warnings = []
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        key, value = key.strip(), value.strip()
        if not key and not equals or key.startswith("#"):
            continue
        if key not in SETTING:
            warnings.append("setting %s is not known and ignored" % printable(key))
        elif not _allowed(value, SETTING[key][1]):
            warnings.append(
                "setting %s=%s is not allowed; %s holds" % (key, printable(value), values[key] or "nothing")
            )
        else:
            values[key] = value
    return values, warnings


def _allowed(value, rule):
    if rule is None:
        return not step_list(value)[1]
    if isinstance(rule[0], int):
        return is_number(value, rule[0], rule[1])
    return value in rule


# ---------------------------------------------------------------------------------------------------------------------
# Records.
# ---------------------------------------------------------------------------------------------------------------------


class Failed(Exception):
    """Provisioning cannot go on. `reason` is of the closed list in docs/guest.md; `facts` are (key, value) pairs."""

    def __init__(self, reason, *facts):
        Exception.__init__(self, reason)
        self.reason, self.facts = reason, facts


class Medium:
    """What ovf-env.xml says. Texts are "" when absent, `keys` are as given, `password_login` is True, False or None."""

    __slots__ = ("hostname", "user", "password", "password_login", "custom_data", "keys", "document", "device")

    def __init__(self):
        self.hostname = self.user = self.password = self.custom_data = self.device = ""
        self.password_login, self.keys, self.document = None, [], b""


class Wishes:
    """What the VM's owner asked for, checked: the only thing that the steps see of the platform."""

    __slots__ = (
        "vm_id", "vm_name", "location", "hostname", "user", "keys", "password", "password_login", "custom_data",
        "user_data", "document", "device", "remarks",
    )  # fmt: skip

    def __init__(self):
        self.vm_id = self.vm_name = self.location = self.hostname = self.user = self.password = self.device = ""
        self.custom_data = self.user_data = self.document = b""
        self.keys, self.remarks, self.password_login = [], [], None


class Account:
    """One line of /etc/passwd."""

    __slots__ = ("name", "uid", "gid", "home")

    def __init__(self, name, uid, gid, home):
        self.name, self.uid, self.gid, self.home = name, uid, gid, home


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
    return "".join([c if c.isprintable() else " " for c in text])


def is_number(text, least, most):
    """Whether `text` is a plain decimal number between `least` and `most`."""
    return 0 < len(text) <= 9 and not text.strip("0123456789") and least <= int(text) <= most


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
        at = _json_blank(text, at)
        if text[at] != ":":
            raise ValueError("no colon at %d of a JSON object" % at)
        table[key], at = _json_value(text, _json_blank(text, at + 1), depth)
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
    parts = []
    while True:
        quote = text.index('"', at)
        slash = text.find("\\", at, quote)
        plain = text[at : quote if slash < 0 else slash]
        if plain and min(plain) < " ":
            raise ValueError("control character in a JSON string")
        parts.append(plain)
        if slash < 0:
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


def parse_imds(body):
    """The IMDS instance document. Its primitives are strings, possibly "" (Microsoft, instance metadata service)."""
    document = read_json(body.decode("utf-8-sig"))
    if not isinstance(document, dict) or not isinstance(document.get("compute"), dict):
        raise ValueError("no compute in the IMDS document")
    return document


def stated(value):
    """True or False when `value` says so in any case; None for everything else, "" among it."""
    return {"true": True, "false": False}.get(str(value).strip().lower())


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
    """Every leaf element of a document: ("namespace name" path, text) pairs, in document order."""
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
        if leaf[0]:
            found.append((tuple(path), "".join(texts)))
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


def parse_medium(document):
    """ovf-env.xml. Matched by namespace, because the prefix differs between hosts; a doubled element is malformed."""
    values, keys, found = {}, [], False
    for path, text in _xml_texts(document):
        if path[:3] != _LINUX:
            continue
        found = True
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
    medium.hostname = values.get(("HostName",), "").strip()
    medium.user = values.get(("UserName",), "").strip()
    medium.password = values.get(("UserPassword",), "")
    medium.custom_data = values.get(("CustomData",), "")
    disabled = stated(values.get(("DisableSshPasswordAuthentication",), ""))
    medium.password_login = None if disabled is None else not disabled
    medium.keys, medium.document = keys, document
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


def split_keys(text):
    """The keys in one keyData. Old portals broke a key with CR LF in its middle; some people paste several keys."""
    found = []
    for line in text.replace("\r", "\n").split("\n"):
        if not found or line.split(" ", 1)[0] in KEY_TYPES:
            found.append(line)
        else:
            found[-1] += line
    return [key.strip() for key in found if key.strip()]


def parse_key(text):
    """One public key as a line of authorized_keys; ValueError says what is wrong with it."""
    import binascii

    if "BEGIN " in text:
        raise ValueError("it is a certificate, not an ssh key")
    words = text.split(None, 2)
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise ValueError("it does not begin with a known key type")
    body = words[1]
    if body.rstrip("=").strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
        raise ValueError("its body is not base64")
    try:
        blob = binascii.a2b_base64(body)
    except ValueError:
        raise ValueError("its body is not base64") from None
    # RFC 4253 section 6.6: the blob begins with the type's name and its length
    kind = words[0].encode()
    if blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind or len(blob) < 4 + len(kind) + 32:
        raise ValueError("its body is not a key of that type, or is cut")
    comment = printable(words[2], 256).strip() if len(words) > 2 else ""
    return " ".join(words[:2] + [comment]).rstrip()


def decode_base64(text):
    """The bytes of base64 text, blanks allowed; ValueError when it is something else."""
    import binascii

    compact = "".join(text.split())
    if compact.rstrip("=").strip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"):
        raise ValueError("not base64")
    return binascii.a2b_base64(compact)


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
        size = data[at:line_end].split(b";")[0].strip()
        if not 0 < len(size) <= 8 or size.strip(b"0123456789abcdefABCDEF"):
            raise ValueError("a bad chunk")
        length = int(size, 16)
        if length == 0:
            return b"".join(content)
        at = line_end + 2
        if len(data) < at + length + 2:
            return None
        content.append(data[at : at + length])
        at += length + 2


def lease_option_245(data):
    """The WireServer's address in a DHCP client's lease file (option 245), or "". The last lease of a file wins.

    networkd and NetworkManager: OPTION_245=a83f8110; dhclient: option unknown-245 a8:3f:81:10; or four characters in
    quotes; udhcpc scripts: opt245=a83f8110; dhcpcd keeps the DHCP packet itself.
    """
    if data[236:240] == b"\x63\x82\x53\x63":  # the magic cookie of a DHCP packet (RFC 2131)
        return _packet_option(data, 245)
    found = ""
    for line in data.decode("latin-1").splitlines():
        for mark in ("OPTION_245=", "opt245=", "unknown-245 ", "private_245=", "option-245 "):
            _, there, value = line.partition(mark)
            if there:
                found = parse_ipv4(_lease_value(value.strip().rstrip("; "))) or found
    return found


def _packet_option(packet, wanted):
    at = 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        length = packet[at + 1]
        if packet[at] == wanted and length == 4:
            return parse_ipv4(".".join([str(byte) for byte in packet[at + 2 : at + 6]]))
        at += 2 + length
    return ""


def _lease_value(value):
    """Four bytes written as hex digits, hex pairs with colons, or a quoted string, as a dotted address."""
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        characters, at, text = [], 0, value[1:-1]
        while at < len(text):
            if text[at] == "\\" and text[at + 1 : at + 4].isdigit():
                characters.append(int(text[at + 1 : at + 4], 8))
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


def sshd_setting(lines, keyword):
    """The value that sshd takes for a keyword: the first one; `lines` as sshd_lines gives them."""
    for line in lines:
        name, value = sshd_words(line)
        if name == keyword.lower():
            return value
    return ""


def sshd_words(line):
    """One line of sshd_config as (keyword in lower case, value). sshd allows blanks or one = between them."""
    line = line.strip()
    if line.startswith("#"):
        return "", ""
    name = line.split("=", 1)[0].split(None, 1)[0] if line and line[0] != "=" else ""
    return name.lower(), line[len(name) :].strip().lstrip("=").strip().strip('"')


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
    dot = name.rfind(".", 0, 65)
    return (name[:dot] if dot > 0 else name[:64]).rstrip("-.")


def valid_user(name):
    """What useradd of the supported distributions accepts: a letter or _, then letters, digits, _ - and ., up to 32."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
    return 0 < len(name) <= 32 and name[0] in letters and not name.strip(letters + "0123456789-.")


def sudoers_name(name):
    """A user name for sudoers, where a word in capitals would be an alias."""
    return '"%s"' % name if name.lower() != name else name


def text_at(document, *path):
    """The text at a path of the IMDS document, trimmed; "" when it is absent or something else."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document.strip() if isinstance(document, str) else ""


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
    imds, medium = imds or {}, medium or Medium()
    wishes.vm_id, wishes.device, wishes.document = vm_id, medium.device, medium.document
    wishes.vm_name, wishes.location = text_at(imds, "compute", "name"), text_at(imds, "compute", "location")
    wishes.hostname = _decide_hostname(imds, medium, wishes.remarks)
    wishes.user = _decide_user(imds, medium)
    wishes.keys = _decide_keys(imds, medium, wishes.remarks)
    profile = imds.get("compute", {}).get("osProfile")
    disabled = stated(profile.get("disablePasswordAuthentication", "")) if isinstance(profile, dict) else None
    wishes.password_login = medium.password_login if disabled is None else not disabled
    if "\n" in medium.password or "\r" in medium.password or "\0" in medium.password or len(medium.password) > 512:
        raise Failed("unexpected metadata parsing ovf-env.xml: UserPassword")
    wishes.password = medium.password
    wishes.custom_data = _decoded("custom data", medium.custom_data, wishes.remarks)
    wishes.user_data = _decoded("user data", text_at(imds, "compute", "userData"), wishes.remarks)
    return wishes


def _decide_hostname(imds, medium, remarks):
    name = text_at(imds, "compute", "osProfile", "computerName")
    if name and not valid_hostname(name):
        raise Failed("invalid IMDS metadata for key=compute.osProfile.computerName", ("value", name))
    vm_name = text_at(imds, "compute", "name")
    if not name and medium.hostname and not (vm_name and valid_hostname(vm_name)):
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


def _decide_user(imds, medium):
    name = text_at(imds, "compute", "osProfile", "adminUsername")
    if name and not valid_user(name):
        raise Failed("invalid IMDS metadata for key=compute.osProfile.adminUsername", ("value", name))
    if not name and medium.user:
        name = medium.user
        if not valid_user(name):
            raise Failed("unexpected metadata parsing ovf-env.xml: UserName", ("value", name))
    return name


def _decide_keys(imds, medium, remarks):
    listed = imds.get("compute", {}).get("publicKeys")
    given = (
        [item.get("keyData") if isinstance(item, dict) else None for item in listed or []]
        if (isinstance(listed, list))
        else []
    )
    source = "IMDS" if given else "the medium"
    keys = []
    for index, text in enumerate(given or medium.keys):
        parts = split_keys(text) if isinstance(text, str) else []
        if not parts:
            remarks.append("key %d from %s is empty and was skipped" % (index, source))
        for part in parts:
            try:
                key = parse_key(part)
            except ValueError as error:
                remarks.append("key %d from %s was skipped: %s" % (index, source, error))
                continue
            if key not in keys:
                keys.append(key)
    return keys


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
    added = [key for key in keys if tuple(key.split(" ", 2)[:2]) not in present]
    if existing and not existing.endswith(b"\n"):
        existing += b"\n"
    return existing + "".join([key + "\n" for key in added]).encode(), len(added)


def hosts_with(text, name):
    """/etc/hosts with a line for `name` (127.0.1.1, as Debian does), or None when it has one."""
    lines = text.splitlines()
    fields = [line.split("#", 1)[0].split() for line in lines]
    if any(name.lower() in [word.lower() for word in words[1:]] for words in fields):
        return None
    short = name.split(".", 1)[0]
    line = "127.0.1.1 %s" % (name if short == name else name + " " + short)
    for index, words in enumerate(fields):
        if words[:1] == ["127.0.1.1"]:
            lines[index] = line
            break
    else:
        lines.append(line)
    return "\n".join(lines) + "\n"


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
    month, year = (
        (MONTHS.index(words[2]) + 10) % 12,
        int(words[3]),
    )  # a year that begins in March ends with the leap day
    year -= month >= 10
    days = 365 * year + year // 4 - year // 100 + year // 400 + (month * 306 + 5) // 10 + int(words[1]) - 719469
    return ((days * 24 + int(clock[0])) * 60 + int(clock[1])) * 60 + int(clock[2])


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
    """A program ended with an error; says which, how, and its last line."""

    def __init__(self, name, status, output):
        lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
        Exception.__init__(self, "%s: exit %d%s" % (name, status, lines and ": " + printable(lines[-1]) or ""))
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
        self.root = "" if root == "/" else root.rstrip("/")
        self.live = not self.root
        self.dry_run = dry_run
        self._unsynced = set()

    def at(self, path):
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

    def text(self, path):
        """The content of a text file, "" when there is none."""
        return (self.read(path) or b"").decode("utf-8", "replace")

    def names(self, path):
        """The sorted names in a folder; none when it is not there."""
        try:
            return sorted(posix.listdir(self.at(path)))
        except OSError:
            return []

    def write(self, path, data, mode=0o644, check=None):
        """Make a file hold `data`; tells whether it did not already. The folder is synced by `sync`."""
        if self._is(path, data, mode):
            return False
        if self.dry_run:
            say("would write %s" % path)
            return True
        folder, _, name = path.rpartition("/")
        descriptor = posix.open(self.at(folder), posix.O_RDONLY | posix.O_DIRECTORY)
        try:
            write_in(descriptor, name, data, mode, check=check and (lambda tmp: check(self.at(folder + "/" + tmp))))
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
        return any(self.exists(folder + "/" + name) for folder in _FOLDERS)

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


def spawn(path, words, stdin=b"", limit=COMMAND_LIMIT, environment=None, show=False):
    """Run a program in a process group of its own; returns (exit status, output). With `show` its output goes to ours.

    Raises TimeLimit after killing the group.
    """
    import _signal

    environment = posix.environ if environment is None else environment
    out_read, out_write = posix.pipe()
    in_read, in_write = posix.pipe()
    write_all(in_write, stdin)  # less than a pipe holds
    posix.close(in_write)
    child = _start(path, words, environment, in_read, 2 if show else out_write)
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
    """The account of that name, or None. On a live machine NSS is asked as well, as login does."""
    for line in tree.text("/etc/passwd").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) == 7:
            return Account(name, int(fields[2]), int(fields[3]), fields[5])
    if tree.live:
        import pwd

        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)
    return None


def groups_of(tree):
    """Group name -> members, from /etc/group."""
    groups = {}
    for line in tree.text("/etc/group").splitlines():
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
        self._changes = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, 0)
        try:
            self._changes.bind((0, 0x10 | 0x40))
        except OSError:
            self._changes.close()
            self._changes = None
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
    say("IMDS: GET %s/metadata/instance?api-version=2021-08-01&extended=true" % options.imds.rstrip("/"))
    started, teller, refused = time.monotonic(), Teller("IMDS"), set()
    medium = read_medium(tree, options, refused)
    imds, problem, old = None, None, False
    while imds is None:
        if not final(problem):
            imds, problem = ask_imds(address, old)
        if imds is not None:
            break
        teller.tell(problem.text)
        if problem.response and problem.response.status == 400 and not old:
            old = True
            continue
        patience = until
        if medium:
            patience = started if final(problem) else started + int(settings["IMDS_WAIT"])
        elif final(problem):
            patience = started + int(settings["MEDIUM_WAIT"])
        patience = min(patience, until)
        if time.monotonic() >= patience:
            break
        network.pause(problem, patience)
        medium = medium or read_medium(tree, options, refused)
    if imds is None and medium is None:
        raise Failed(problem.reason, ("error", problem.text), ("url", options.imds))
    if imds is not None and medium is None:
        medium = await_medium(tree, options, settings, imds, until, refused)
    say("medium: " + ("%s, ovf-env.xml of %d bytes" % (medium.device, len(medium.document)) if medium else "none"))
    return imds, medium


def final(problem):
    """IMDS will not answer otherwise, however often it is asked."""
    return bool(problem and problem.response and problem.response.status in (401, 403))


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
    if mode & 0o170000 == 0o040000:
        return _parse_medium(_read_capped(path + "/ovf-env.xml"), path)
    if path in refused or tree.dry_run or not _is_optical(path):
        return None
    folder = RUN + "/medium"
    tree.folder(RUN, 0o700)
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


def find_wireserver(tree, options):
    """The WireServer's address: the option, or the DHCP lease's option 245, or the one that is documented."""
    if options.wireserver:
        return parse_url(options.wireserver)
    for folder in LEASES:
        for name in tree.names(folder):
            if folder.endswith(("/leases", "/devices")) or "lease" in name or "udhcpc" in folder:
                found = lease_option_245(tree.read(folder + "/" + name, 65536) or b"")
                if found:
                    return found, 80
    return WIRESERVER, 80


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
        if "myhostname" not in tree.text("/etc/nsswitch.conf"):
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
    known = groups_of(tree)
    wanted = [group for group in GROUPS if group in known]
    present = account(tree, name)
    if present is None:
        _add_user(tree, name, wanted, name in known)
        present = account(tree, name)
        if present is None and not tree.dry_run:
            raise Failed("failure in step user", ("error", "the account is not there after useradd"))
        created = "created"
    else:
        lacking = [group for group in wanted if name not in known[group]]
        if lacking:
            _join_groups(tree, name, lacking)
        created = "exists"
    if present and not tree.exists(present.home):  # useradd was interrupted, or the image removed it
        _make_home(tree, present)
        created += ", home made anew"
    return "%s %s, uid %s, groups %s" % (name, created, present.uid if present else "?", ",".join(wanted) or "none")


def _add_user(tree, name, groups, own_group_exists):
    shell = "/bin/bash" if tree.exists("/bin/bash") else "/bin/sh"
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
        if not _remove_stale_locks(tree):
            raise
        warn("%s; trying again" % error)
        tree.run(words + [name])


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


def _remove_stale_locks(tree):
    """After a power cut the account tools' lock files stay, and name processes of another boot."""
    clock = getattr(time, "clock_gettime", None)
    boot = time.time() - clock(7) if clock else 0  # CLOCK_BOOTTIME
    removed = False
    for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid"):
        path = "/etc/%s.lock" % name
        try:
            if posix.lstat(tree.at(path)).st_mtime < boot:
                removed = tree.remove(path) or removed
                say("user: %s is older than this boot and was removed" % path)
        except OSError:
            pass
    return removed


def _make_home(tree, owner):
    if tree.dry_run:
        say("would make %s" % owner.home)
        return
    tree.folder(owner.home, 0o700)
    if posix.geteuid() == 0:
        posix.chown(tree.at(owner.home), owner.uid, owner.gid)


def step_sudo(tree, wishes, settings):
    name = wishes.user
    if not name:
        return "no user name: skipped"
    if tree.has_tool("sudo") or tree.exists("/etc/sudoers.d") and not tree.has_tool("doas"):
        text = "# Written by azure-provisioning\n%s ALL=(ALL:ALL) NOPASSWD: ALL\n" % sudoers_name(name)
        if not tree.exists("/etc/sudoers.d"):
            tree.folder("/etc/sudoers.d", 0o750)

        def check(path):
            if tree.tool("visudo"):
                tree.run(["visudo", "-c", "-q", "-f", path])

        return _done(
            tree.write("/etc/sudoers.d/90-azure-provisioning", text.encode(), 0o440, check), name + " may sudo"
        )
    if tree.has_tool("doas"):
        rule = "permit nopass %s\n" % name
        if tree.exists("/etc/doas.d"):
            return _done(tree.write("/etc/doas.d/90-azure-provisioning.conf", rule.encode(), 0o400), name + " may doas")
        return _done(tree.write("/etc/doas.conf", _marked(tree.text("/etc/doas.conf"), rule).encode(), 0o400),
                     name + " may doas")  # fmt: skip
    warn("neither sudo nor doas is there: %s cannot become root" % name)
    return "skipped"


def _done(changed, text):
    return text if changed else text + " already"


MARKS = ("# azure-provisioning begins\n", "# azure-provisioning ends\n")


def _marked(text, block):
    """`text` with our marked block at its end, in place of an earlier one."""
    head, begin, rest = text.partition(MARKS[0])
    if begin:
        text = head + rest.partition(MARKS[1])[2]
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
    path = keys_path(sshd_setting(sshd_lines(tree), "AuthorizedKeysFile"), owner)
    added = add_keys(tree, path, owner, wishes.keys)
    if tree.live and added and tree.exists("/sys/fs/selinux/enforce") and tree.tool("restorecon"):
        tree.run(["restorecon", "-F", "-R", path.rpartition("/")[0]])
    return "%s has %d key(s), %d added" % (path, len(wishes.keys), added)


def keys_path(setting, owner):
    """Where sshd looks for a user's keys: the first AuthorizedKeysFile, expanded, else its default."""
    words = setting.split()
    pattern = words[0] if words and words[0].lower() != "none" else ".ssh/authorized_keys"
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
    if not below:
        tree.folder(base, 0o755)
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
        existing = _read_own(folder, name)
        content, added = missing_keys(existing or b"", keys)
        if added and tree.dry_run:
            say("would write %s" % path)
        elif added or existing is None:
            write_in(folder, name, content, 0o600, (owner.uid, owner.gid))
            posix.fsync(folder)
        return added
    finally:
        posix.close(folder)


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
    """A regular file in an open folder, None when it is missing; anything else at that name is refused."""
    try:
        descriptor = posix.open(name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Failed("failure in step keys", ("error", "%s is a symbolic link" % name)) from None
        raise
    try:
        if posix.fstat(descriptor).st_mode & 0o170000 != 0o100000:
            raise Failed("failure in step keys", ("error", "%s is no regular file" % name))
        return read_all(descriptor, SIZE_LIMIT)
    finally:
        posix.close(descriptor)


SSHD = "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/00-azure-provisioning.conf"


def sshd_lines(tree, path=SSHD, depth=0):
    """All lines that hold for everybody, in sshd's order; an Include is replaced by what it includes.

    A Match block ends with its file, not with the file that includes it.
    """
    lines = []
    for line in tree.text(path).splitlines():
        name, value = sshd_words(line)
        if name == "match":
            break
        if name == "include" and depth < 16:
            for pattern in value.split():
                pattern = pattern if pattern.startswith("/") else "/etc/ssh/" + pattern
                for file in _matching(tree, pattern):
                    lines += sshd_lines(tree, file, depth + 1)
        else:
            lines.append(line)
    return lines


def _matching(tree, pattern):
    """The files of a pattern with at most one * in its last part, sorted as glob does."""
    folder, _, last = pattern.rpartition("/")
    before, star, after = last.partition("*")
    if not star:
        return [pattern]
    fitting = [n for n in tree.names(folder) if n.startswith(before) and n.endswith(after) and not n.startswith(".")]
    return [folder + "/" + name for name in fitting]


def includes_drop_ins(tree):
    """Whether sshd_config includes sshd_config.d before its first Match block."""
    for line in tree.text(SSHD).splitlines():
        name, value = sshd_words(line)
        if name == "match":
            return False
        if name == "include" and any(
            word
            in ("sshd_config.d/*.conf", "sshd_config.d/*", "/etc/ssh/sshd_config.d/*.conf", "/etc/ssh/sshd_config.d/*")
            for word in value.split()
        ):
            return True
    return False


def step_sshd(tree, wishes, settings):
    if not tree.exists(SSHD):
        return "no sshd: skipped"
    wanted = "yes" if wishes.password_login else "no"
    if sshd_setting(sshd_lines(tree), "PasswordAuthentication").lower() == wanted:
        return "PasswordAuthentication is %s already" % wanted
    if includes_drop_ins(tree):
        path, text = DROP_IN, drop_in(wanted)
        tree.folder("/etc/ssh/sshd_config.d", 0o755)
    else:
        path, text = SSHD, _sshd_edited(tree.text(SSHD), wanted)
    _write_checked(tree, path, text.encode())
    if not tree.dry_run and sshd_setting(sshd_lines(tree), "PasswordAuthentication").lower() != wanted:
        warn("another file says PasswordAuthentication before %s does: passwords stay as the image has them" % path)
    _reload_sshd(tree)
    return "PasswordAuthentication %s in %s" % (wanted, path)


def drop_in(wanted):
    """The drop-in that states the password policy. Images bring it with "no"."""
    return (
        "# Written by azure-provisioning: the password policy that the platform states for this VM.\n"
        "# sshd takes the first value that it reads, so this file sorts first.\n"
        "PasswordAuthentication %s\n" % wanted
    )


def _sshd_edited(text, wanted):
    """sshd_config with our line at its head, in place of an earlier one of ours; the first value is what counts."""
    head, begin, rest = text.partition(MARKS[0])
    if begin:
        text = head + rest.partition(MARKS[1])[2]
    return MARKS[0] + "PasswordAuthentication %s\n" % wanted + MARKS[1] + text


def _write_checked(tree, path, content):
    """Write a file of sshd's configuration; undone when sshd refuses it, unless sshd refused before as well."""
    before = tree.read(path)
    tree.write(path, content)
    complaint = _sshd_complaint(tree)
    if not complaint:
        return
    if before is None:
        tree.remove(path)
    else:
        tree.write(path, before)
    if not _sshd_complaint(tree):
        raise Failed("failure in step sshd", ("error", complaint))
    warn("%s (it said so before as well)" % complaint)
    tree.write(path, content)


def _sshd_complaint(tree):
    """What sshd has against its configuration; "" when nothing, or when there is no sshd to ask."""
    if not tree.tool("sshd") or tree.dry_run:
        return ""
    if tree.live:
        tree.folder("/run/sshd", 0o755)  # sshd checks nothing without it, and its service makes it later than this
    try:
        tree.run([tree.tool("sshd"), "-t"] + ([] if tree.live else ["-f", tree.at(SSHD)]))
    except (CommandFailed, TimeLimit) as error:
        return str(error) or "sshd -t does not end"
    return ""


def _reload_sshd(tree):
    """Have a running sshd read its configuration again."""
    pid = tree.text("/run/sshd.pid").strip()
    if tree.live and not tree.dry_run and is_number(pid, 2, 99999999):
        if tree.text("/proc/%s/comm" % pid).strip() == "sshd":
            posix.kill(int(pid), 1)  # SIGHUP
            say("sshd: reloaded")


def step_password(tree, wishes, settings):
    if not wishes.user:
        return "no user name: skipped"
    if wishes.password:
        _set_password(tree, wishes.user, wishes.password)
        return "set for %s" % wishes.user
    if wishes.password_login:
        warn("passwords are allowed, but none came on a medium: %s has none" % wishes.user)
    field = _shadow_field(tree, wishes.user)
    if field is None:
        return "%s has no entry in /etc/shadow" % wishes.user
    # sshd without PAM refuses keys, too, for an account that is locked with "!"
    without_pam = tree.exists(SSHD) and sshd_setting(sshd_lines(tree), "UsePAM").lower() != "yes"
    if field.startswith("*") or (field.startswith("!") and not without_pam):
        return "%s is locked for passwords" % wishes.user
    if not tree.tool("usermod"):  # busybox: "*" serves with PAM and without
        tree.run(["chpasswd"] + _root(tree) + ["-e"], ("%s:*\n" % wishes.user).encode())
    else:
        tree.run(["usermod"] + _prefix(tree) + (["-p", "*"] if without_pam else ["-L"]) + [wishes.user])
    return "locked for %s" % wishes.user


def _root(tree):
    return [] if tree.live else ["--root", tree.root]


def _shadow_field(tree, name):
    for line in tree.text("/etc/shadow").splitlines():
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
    missing = [kind for kind in HOST_KEYS if not tree.exists("/etc/ssh/ssh_host_%s_key" % kind)]
    if not missing:
        return "all there"
    own_unit = "azure-provisioning-hostkeys.service"
    if tree.exists("/run/systemd/system") and tree.exists("/etc/systemd/system/multi-user.target.wants/" + own_unit):
        return "left to " + own_unit
    if not tree.tool("ssh-keygen"):
        warn("no ssh-keygen: host keys are missing (%s)" % ", ".join(missing))
        return "skipped"
    tree.run(["ssh-keygen", "-A"] + ([] if tree.live else ["-f", tree.root]))
    return "made: " + ", ".join(missing)


def step_custom_data(tree, wishes, settings):
    if settings["CUSTOM_DATA"] == "ignore":
        return "ignored (CUSTOM_DATA=ignore)"
    runs = settings["CUSTOM_DATA"] == "run" and wishes.custom_data.startswith(b"#!")
    done = []
    for name, data, mode in (
        ("custom-data", wishes.custom_data, 0o700 if runs else 0o600),
        ("user-data", wishes.user_data, 0o600),
    ):
        if data:
            tree.write(STATE + "/" + name, data, mode)
            done.append("%s, %d bytes" % (name, len(data)))
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
    device, kind = _root_device(tree)
    if not device:
        return "the root file system is on no partition: skipped"
    name = device.rpartition("/")[2]
    number = tree.text("/sys/class/block/%s/partition" % name).strip()
    filled = "disk"
    if number:
        disk = posix.readlink("/sys/class/block/" + name).split("/")[-2]
        if not _grow_partition(tree, "/dev/" + disk, number):
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


def _root_device(tree):
    """(device, file system) of /, from /proc/self/mountinfo; ("", "") when it is no block device."""
    for line in tree.text("/proc/self/mountinfo").splitlines():
        fields = line.split(" ")
        if len(fields) > 9 and fields[4] == "/" and "-" in fields:
            kind = fields[fields.index("-") + 1]
            try:
                name = posix.readlink("/sys/dev/block/" + fields[2]).rpartition("/")[2]
            except OSError:  # btrfs has a device number of its own
                name = fields[fields.index("-") + 2].rpartition("/dev/")[2]
            if tree.exists("/sys/class/block/" + name):
                return "/dev/" + name, kind
    return "", ""


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
        return posix.stat(path).st_mode & 0o170000 == 0o100000 and posix.access(path, posix.X_OK)
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
    tree.write(STATE + "/ovf-env.xml", copy, 0o600)
    return "kept without secrets" + _eject(tree, wishes.device)


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


STEPS = (
    ("hostname", step_hostname),
    ("user", step_user),
    ("sudo", step_sudo),
    ("keys", step_keys),
    ("password", step_password),
    ("sshd", step_sshd),
    ("host-keys", step_host_keys),
    ("custom-data", step_custom_data),
    ("entropy", step_entropy),
    ("grow", step_grow),
    ("hooks", step_hooks),
    ("ovf-copy", step_ovf_copy),
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
    lines = tree.text(STATE + "/" + name).split("\n", 1)
    return same_vm(lines[0], vm_id)


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
    for level in "2345":
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
            if once or time.monotonic() >= self._until:
                return problem.text
            self._network.pause(problem, self._until)

    def _json_now(self, problem, patience):
        refused = problem.response and problem.reason == "goal state" and problem.response.status in JSON_AT_ONCE
        return refused or time.monotonic() >= patience

    def _send_xml(self, state, substatus, detail):
        address = find_wireserver(self._tree, self._options)
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
        address = find_wireserver(self._tree, self._options)
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
    """PROVISIONING_REPORT for the host, in Hyper-V's pool: fixed records; one key has one record."""
    if not tree.exists("/var/lib/hyperv") or tree.dry_run:
        return
    import fcntl

    record = kvp_record("PROVISIONING_REPORT", "|".join(["%s=%s" % field for field in fields]))
    try:
        descriptor = posix.open(tree.at(KVP_POOL), posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW, 0o644)
    except OSError as error:
        warn("%s: %s" % (KVP_POOL, error.strerror))
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as cloud-init and azure-init do; the kernel's daemon uses the next
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        at, size = 0, len(record)
        while True:
            other = posix.pread(descriptor, size, at)
            if len(other) < size or other[:KVP_KEY] == record[:KVP_KEY]:
                break
            at += size
        posix.pwrite(descriptor, record, at)
    finally:
        posix.close(descriptor)


def facts_now(vm_id):
    return (
        ("agent", "%s/%s" % (AGENT, VERSION)),
        ("vm_id", vm_id or "unknown"),
        ("timestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Main.
# ---------------------------------------------------------------------------------------------------------------------


def provision(tree, options, settings, vm_id, network, until, announce):
    """Everything but the report. Returns the wishes, and whether the steps were taken now."""
    began = time.monotonic()
    imds, medium = gather(tree, options, settings, network, began + (until - began) * 0.9)
    vm_id = vm_id or canonical(text_at(imds or {}, "compute", "vmId"))
    wishes = decide(imds, medium, vm_id)
    for remark in wishes.remarks:
        warn(remark)
    if has_stamp(tree, "applied", vm_id) and not options.only:  # only IMDS could say which VM this is
        return wishes, False
    announce()
    tree.folder(STATE, 0o700)
    skipped = set(options.skip) | set(step_list(settings["SKIP"])[0])
    for name, step in STEPS:
        if (not options.only or name in options.only) and name not in skipped:
            take_step(name, step, tree, wishes, settings)
    tree.sync()
    if not options.only and not tree.dry_run:
        stamp_applied(tree, vm_id)
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
    silent = _why_silent(options, form)

    def announce():
        if settings["EARLY_REPORT"] == "yes" and not silent:
            reporter.send("NotReady", "Provisioning", "provisioning has begun", once=True)

    name = tree.text("/etc/hostname").strip()
    if applied:
        say("VM %s is provisioned already: reporting again" % vm_id)
    else:
        try:
            wishes, taken = provision(tree, options, settings, vm_id, network, until, announce)
        except Failed as failure:
            return fail(tree, settings, reporter, failure, vm_id, silent)
        except Exception as error:  # a mistake of ours, or a full disk: the platform is told all the same
            failure = Failed("unhandled exception", ("error", _told(error)))
            return fail(tree, settings, reporter, failure, vm_id, silent)
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
        say("Provisioned %s in %.2f s, but not reported: %s; the next boot reports again" % (name, took, refused))
        return 2
    try:
        stamp_reported(tree)
    except OSError as error:
        warn("%s: the next boot reports again" % _told(error))
    disable(tree)
    say("Provisioned %s in %.2f s: reported Ready" % (name, took))
    return 0


def fail(tree, settings, reporter, failure, vm_id, silent):
    """Report that provisioning failed, and why. Returns the exit code."""
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
    if refused:
        say("Provisioning failed: %s; not reported: %s" % (failure.reason, refused))
        return 2
    say("Provisioning failed: " + failure.reason)
    return 1


def report(tree, options, settings, vm_id, began):
    """The verb report. Returns the exit code."""
    until = began + int(options.deadline or settings["DEADLINE"])
    form = options.report or settings["REPORT"]
    form = "auto" if form == "none" else form
    reporter = Reporter(tree, options, form, Network(), until)
    if options.failed is not None:
        code = fail(tree, settings, reporter, Failed(options.failed), vm_id, options.dry_run and "--dry-run")
        return 2 if code == 2 else 0
    vm_id = vm_id or canonical(tree.text(STATE + "/applied").partition("\n")[0])  # no DMI: as the last run found out
    if not has_stamp(tree, "applied", vm_id):
        say("Nothing is reported: VM %s is not provisioned yet" % (vm_id or "unknown"))
        return 1
    if has_stamp(tree, "reported", vm_id):
        say("VM %s is provisioned and reported already: nothing to do" % vm_id)
        return 0
    name = tree.text("/etc/hostname").strip() or "this VM"
    return finish(tree, settings, reporter, vm_id, name, began, options.dry_run and "--dry-run")


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
    settings, warnings = parse_settings(tree.text(options.config))
    vm_id = read_vm_id(tree, options)
    say(
        "%s %s (python %d.%d.%d): VM %s, generation %d"
        % ((AGENT, VERSION) + sys.version_info[:3] + (vm_id or "unknown", 2 if tree.exists("/sys/firmware/efi") else 1))
    )
    for warning in warnings:
        warn(warning)
    if not tree.dry_run:
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
    """Run and leave at once: nothing is open that the kernel does not close faster than the interpreter does."""
    posix._exit(main(sys.argv[1:]))


if __name__ == "__main__":
    start()
