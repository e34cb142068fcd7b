"""What a person reads about each verb beside its options: a line for the list, and examples.

Man pages are made of it, too.
"""

from collections.abc import Mapping

SHORT: Mapping[str, str] = {
    "demo": "See a Debian image lose its agent and provision",
    "prepare": "Take agents out, put the guest program in",
    "check": "Ask all that Azure wants of an image, offline",
    "generalize": "Seal: identity, keys, users, logs",
    "boot": "Boot an image in a local Azure, and judge",
    "convert": "Make the fixed VHD that Azure takes",
    "build": "All of these, from a disk to a proven VHD",
    "sysext": "The guest program, for a /usr that nobody changes",
    "capture": "A VM in Azure to an image without agent",
    "publish": "A VHD into Azure, as an image",
    "verify": "VMs from an image in Azure: do they provision?",
    "fabric": "The local Azure alone, for any agent",
    "timeline": "Draw kept boots again, or compare two",
    "diagnose": "Why a VM failed, from its console log",
    "doctor": "What this machine can do, what to install",
    "report": "Join many images' checks and boots into one",
    "fabric run": "Run a command where Azure's addresses are",
    "fabric scenarios": "List the scenarios that come with azready",
    "fabric medium": "Write a machine's provisioning medium",
    "fabric matrix": "Guests × scenarios, on scratch trees",
    "fabric replay": "Ask again what a log says was asked",
    "fabric survey": "Agents × scenarios, to one page",
}

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "demo": ("azready demo", "azready demo --whole"),
    "prepare": ("azready prepare disk.qcow2 --to ready.qcow2", "azready prepare ./tree --install nginx --dry-run"),
    "check": ("azready check disk.qcow2", "azready check ./tree --output json --output sarif=check.sarif"),
    "generalize": ("azready generalize disk.qcow2 --in-place --user builder", "azready generalize ./tree --dry-run"),
    "boot": ("azready boot disk.qcow2 --report boot.html", "azready boot ./tree --scenario flaky"),
    "convert": ("azready convert disk.qcow2 disk.vhd", "azready convert disk.qcow2 --dry-run"),
    "build": ("azready build disk.qcow2 disk.vhd", "azready build disk.qcow2 disk.vhd --user builder --fix"),
    "sysext": ("azready sysext azready.raw", "azready sysext azready.raw --guest sh --format erofs"),
    "capture": ("azready capture --dry-run -n web -g images -l westeurope",),
    "publish": ("azready publish disk.vhd -n web -g images -l westeurope", "azready publish disk.vhd --dry-run …"),
    "verify": ("azready verify IMAGE -l westeurope --dry-run",),
    "fabric": ("azready fabric --deadline 60", "azready fabric --scenario flaky --set admin_username=me"),
    "fabric run": ("azready fabric run -- my-agent --provision",),
    "fabric matrix": ("azready fabric matrix",),
    "fabric medium": ("azready fabric medium medium.iso",),
    "timeline": ("azready timeline boots.json", "azready timeline before.json after.json"),
    "diagnose": ("az vm boot-diagnostics get-boot-log -n VM -g GROUP | azready diagnose -",),
    "doctor": ("azready doctor",),
    "report": ("azready report */check.json */boots.json --output html=fleet.html --output junit=fleet.xml",),
}


def epilog(verb: str) -> str | None:
    """The examples of a verb, a line each, as they are; None where it has none."""
    lines = EXAMPLES.get(verb, ())
    return "\b\n" + "\n".join(("Examples:", *(f"  {line}" for line in lines))) if lines else None
