"""Put into tests/azure/ and run. The fake is given the rules of the real gallery; all three fail today."""

from dataclasses import replace

import pytest

from azready.azure.requests.images import TargetRegion
from azready.errors import Failure
from tests.azure.fake_arm import galleries, model
from tests.azure.fake_arm.model import SUBSCRIPTION, Guest, Refused
from tests.azure.samples import GALLERY, WISHES, Guests

HERE = (TargetRegion("westeurope"),)
RG = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


@pytest.fixture(autouse=True)
def real_gallery(monkeypatch):
    """What the real one answers, by Microsoft's "Deploy a Trusted Launch VM" and the reports named in README.md."""
    import tests.azure.conftest as conftest

    class Lax:
        @classmethod
        def load(cls):
            return cls()

        def problems(self, _):
            return []

    monkeypatch.setattr(conftest, "Checker", Lax)  # the VM of the user below is not complete by the schema
    old = galleries.put_version

    def put_version(arm, ask):
        definition = arm.need(ask.path.rsplit("/versions/", 1)[0])["properties"]
        kind = {item["name"]: item["value"] for item in definition.get("features", [])}.get("SecurityType", "")
        source = ask.body["properties"]["storageProfile"].get("source", {}).get("virtualMachineId", "")
        if source:
            trusted = arm.need(source)["properties"].get("securityProfile", {}).get("securityType") == "TrustedLaunch"
            if trusted and kind != "TrustedLaunch":
                raise Refused(
                    409,
                    "Conflict",
                    f"The source '{source}' contains TrustedLaunch or ConfidentialVM security data that cannot be used "
                    f"in image with '{kind}' security type.",
                )
            if kind == "TrustedLaunchSupported":
                raise Refused(
                    400,
                    "InvalidParameter",
                    f"The security type 'TrustedLaunchSupported' is not supported for the source id '{source}'. "
                    "Currently only Vhd Blob, User Image and Gallery Image Version sources are supported.",
                )
        return old(arm, ask)

    at = next(n for n, route in enumerate(model.ROUTES) if route[2] is old)
    kept = model.ROUTES[at]
    model.ROUTES[at] = (*kept[:2], put_version)
    yield
    model.ROUTES[at] = kept


def put(arm, identity, kind, **properties):
    base = {"id": identity, "name": identity.split("/")[-1], "type": kind, "location": "westeurope"}
    arm.resources[identity.lower()] = base | {"properties": {"provisioningState": "Succeeded", **properties}}
    return arm.resources[identity.lower()]


def test_capture_with_trusted_launch(arm, azure, capturing):
    """azready capture … --gallery-name gal --security-type TrustedLaunch"""
    capturing(replace(WISHES, definition=GALLERY, security_type="TrustedLaunch", regions=HERE), Guests())


def test_capture_of_ones_own_trusted_launch_vm(arm, azure, capturing):
    """azready capture … --vm mine --gallery-name gal: every Gen2 VM that `az vm create` made since 2024."""
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    ip = put(arm, f"{RG}/providers/Microsoft.Network/publicIPAddresses/ip", "Microsoft.Network/publicIPAddresses")
    ip["properties"]["ipAddress"] = "192.0.2.9"
    settings = [{"properties": {"publicIPAddress": {"id": ip["id"]}, "privateIPAddress": "10.0.0.4"}}]
    nic = f"{RG}/providers/Microsoft.Network/networkInterfaces/nic"
    put(arm, nic, "Microsoft.Network/networkInterfaces", ipConfigurations=settings)
    vm = put(
        arm,
        f"{RG}/providers/Microsoft.Compute/virtualMachines/mine",
        "Microsoft.Compute/virtualMachines",
        hardwareProfile={"vmSize": "Standard_D2s_v5"},
        storageProfile={"osDisk": {"managedDisk": {"id": f"{RG}/providers/Microsoft.Compute/disks/d"}}},
        osProfile={"adminUsername": "azureuser", "linuxConfiguration": {"provisionVMAgent": True}},
        networkProfile={"networkInterfaces": [{"id": nic}]},
        securityProfile={"securityType": "TrustedLaunch"},
        vmId="1",
    )
    vm |= {"_power": "running", "_generalized": False, "_generation": "V2", "_architecture": "x64"}
    arm.guests[vm["id"].lower()] = Guest(lambda: ("ready", ""))
    plain = replace(GALLERY, security_type="")  # what the command line makes of it without --security-type
    capturing(replace(WISHES, vm="mine", definition=plain, regions=HERE, keep=True), Guests())


def test_a_definition_that_az_made_is_refused_before_the_vm_is_sealed(arm, azure, capturing):
    """`az sig image-definition create` has made TrustedLaunchSupported definitions by default since May 2024."""
    put(arm, RG, "Microsoft.Resources/resourceGroups")
    gallery = f"{RG}/providers/Microsoft.Compute/galleries/gal"
    put(arm, gallery, "Microsoft.Compute/galleries")
    put(
        arm,
        f"{gallery}/images/def",
        "Microsoft.Compute/galleries/images",
        osType="Linux",
        osState="Generalized",
        hyperVGeneration="V2",
        architecture="x64",
        identifier={"publisher": "p", "offer": "o", "sku": "s"},
        features=[{"name": "SecurityType", "value": "TrustedLaunchSupported"}],
    )
    guests = Guests()
    try:
        capturing(replace(WISHES, definition=replace(GALLERY, security_type=""), regions=HERE), guests)
    except Failure:
        assert guests.sealed == [], "refused only after the base VM was sealed and generalized"
