"""What several tests capture: the wishes, the guests, and what they look at afterwards."""

from azready.azure.capture import GuestWork, Host, Wishes
from azready.azure.requests.images import Definition
from azready.azure.requests.model import Place, parse_urn
from azready.errors import Failure
from tests.azure.fake_arm.model import SUBSCRIPTION, Arm

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq test"
WISHES = Wishes(
    place=Place(SUBSCRIPTION, "rg", "westeurope"),
    name="web",
    urn=parse_urn("debian:debian-12:12-gen2:latest"),
    vm="",
    size="Standard_D2s_v5",
    admin="azureuser",
    public_key=KEY,
    key_file="/keys/id",
    ssh_from="203.0.113.7/32",
)
GALLERY = Definition("gal", "def", "me", "azready", "web", "", security_type="TrustedLaunchSupported")


class Guests:
    """The ssh part: remembers what it was asked to do."""

    def __init__(self) -> None:
        self.sealed: list[Host] = []
        self.failure: Failure | None = None

    def seal(self, host: Host) -> None:
        if self.failure:
            raise self.failure
        self.sealed.append(host)

    def journal(self, host: Host) -> str:
        return "ContainerId: 1\nResponse: 200 OK\nProvisioned web in 0.41 s: reported Ready\n"

    def work(self) -> GuestWork:
        return GuestWork(lambda host: None, lambda host: None, self.seal, self.journal)


def kinds(arm: Arm) -> list[str]:
    return sorted(item["type"].split("/", 1)[1] for item in arm.resources.values() if "/" in item["type"])
