"""Command lines that cannot be followed: a line that says what is allowed, exit 64, and nothing touched."""

from tests.contract.case import Case


def wrong(name: str, *options: str, says: str) -> Case:
    return Case(name, options=options, exit=64, commands=(), requests=(), report=None, changes={}, verdict=says)


CASES = [
    wrong("an unknown option", "--fast", says="PROGRAM: unknown option or verb '--fast': see --help"),
    wrong("an unknown verb", "provision", says="PROGRAM: unknown option or verb 'provision': see --help"),
    wrong("an option without its value", "--vm-id", says="PROGRAM: --vm-id needs a value"),
    wrong("an unknown platform", "--platform=aws", says="PROGRAM: --platform is one of auto, azure, not 'aws'"),
    wrong(
        "two forms at once",
        "--report=auto xml",
        says="PROGRAM: --report is one of auto, xml, json, none, not 'auto xml'",
    ),
    wrong(
        "a deadline that is no number",
        "--deadline=1h",
        says="PROGRAM: --deadline is a number of seconds from 1 to 86400, not '1h'",
    ),
    wrong(
        "a URL that is none",
        "--imds=https://x",
        says="PROGRAM: --imds is http://HOST or http://HOST:PORT, not 'https://x'",
    ),
    wrong(
        "an unknown step",
        "--only=hostname,users",
        says="PROGRAM: --only: unknown step 'users'; the steps are hostname, user, sudo, keys, password, "
        "host-keys, sshd, custom-data, entropy, grow, hooks, ovf-copy, access",
    ),
    wrong("a GUID that is none", "--vm-id=1234", says="PROGRAM: --vm-id is a GUID, not '1234'"),
    wrong("a root that is not there", "--root=FOLDER/nowhere", says="PROGRAM: --root FOLDER/nowhere is no folder"),
    wrong("failed without report", "--failed=x", says="PROGRAM: --failed belongs to the verb report"),
    wrong("a unit without report", "--wait-for", "x.service", says="PROGRAM: --wait-for belongs to the verb report"),
    wrong("progress without report", "--in-progress", says="PROGRAM: --in-progress belongs to the verb report"),
    wrong(
        "two reports at once",
        "report",
        "--failed=x",
        "--wait-for=x.service",
        says="PROGRAM: --failed and --wait-for are two reports",
    ),
    wrong(
        "every, and nothing to repeat",
        "report",
        "--every=5",
        says="PROGRAM: --every belongs to --wait-for or --in-progress",
    ),
    wrong(
        "every that is no number",
        "report",
        "--in-progress",
        "--every=0",
        says="PROGRAM: --every is a number of seconds from 1 to 86400, not '0'",
    ),
]
