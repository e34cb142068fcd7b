"""A machine is a value: its identity follows from its name, and a bad description says what is wrong."""

import uuid
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric import Fabric
from azready.fabric.machine import DataDisk, Machine, as_table, from_table, load


def test_identity_follows_from_the_name() -> None:
    assert Machine(name="a").vm_id == Machine(name="a").vm_id != Machine(name="b").vm_id
    assert Machine(name="a").computer_name == "a"


def test_generation_1_swaps_the_first_three_fields_of_the_product_uuid() -> None:
    vm_id = "00112233-4455-6677-8899-aabbccddeeff"
    assert Machine(vm_id=vm_id, generation=2).product_uuid == vm_id
    assert Machine(vm_id=vm_id, generation=1).product_uuid == "33221100-5544-7766-8899-aabbccddeeff"


def test_a_recaptured_machine_is_another_vm_with_the_same_wishes() -> None:
    old = Machine(name="a", admin_username="me")
    new = old.recaptured()
    assert uuid.UUID(new.vm_id) != uuid.UUID(old.vm_id)
    assert (new.container_id, new.instance_id, new.mac) != (old.container_id, old.instance_id, old.mac)
    assert new.admin_username == "me"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'x'", "unknown key 'nmae'"),
        ("generation = 3", "generation is 3"),
        ("generation = 1\nsize = 'Standard_D4s_v6'", "Standard_D4s_v6 is a size of Generation 2, not 1"),
        ("generation = '2'", "generation must be a int"),
        ("public_keys = 'ssh-rsa x'", "public_keys must be a list"),
        ("name = ", "is not TOML"),
        ("identity = 'system'", "identity must be a list of texts"),
        ("security_type = 'TVM'", "use one of Standard, TrustedLaunch, ConfidentialVM"),
        ("pps_type = 'running'", "pps_type is 'running'"),
        ("medium_form = ''", "medium_form is ''"),
        ("provisiondata = 'xml'", "use one of '', secrets, ovf, json"),
        ("msp = 'on'", "msp is 'on'"),
        ("msp = 'imds=on'", "msp is 'imds=on'"),
        ("msp = 'hostga=audit'", "msp is 'hostga=audit'"),
        ("msp = 'imds=audit,wireserver'", "msp is"),
        ("scheduled_events = ['Boot']", "no scheduled event 'Boot'"),
        ("vm_id = 'x'", "vm_id: 'x' is not a GUID"),
        ("mac = '00-0d-3a-6e-00-01'", "is not an address such as"),
        ("address = '10.1.0.256'", "address: '10.1.0.256' is not an IPv4 address"),
        ("address = ''", "address: '' is not"),
        ("public_address = 'x'", "public_address: 'x' is not"),
        ("subnet = '10.1.0.0/33'", "is not an IPv4 network"),
        ("subnet = '10.1.0.1/32'", "is not an IPv4 network"),
        ("subnet6 = '10.1.0.0/24'", "is not an IPv6 network"),
        ("address6 = '10.1.0.4'", "is not an IPv6 address"),
        ("secondary_nics = [['x', '10.1.0.9']]", "secondary_nics: 'x' is not"),
        ("secondary_nics = [['00:0d:3a:6e:00:99', 'x']]", "secondary_nics: 'x' is not"),
        ("imds = { 'compute.zone' = 2026-11-27 }", "no value of JSON"),
        ("imds = { 'compute.zone' = nan }", "no value of JSON"),
        ("data_disks = [0]", "data_disks must be tables"),
        ("data_disks = 64", "data_disks must be tables"),
        ("data_disks = [{ lun = 1 }]", "data_disks must be tables"),
        ("data_disks = [{ size = 64, bus = 'x' }]", "data_disks must be tables"),
        ("data_disks = [{ lun = 1, size = 4 }, { lun = 1, size = 4 }]", "LUN of their own"),
    ],
)
def test_a_bad_description_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "vm.toml"
    path.write_text(text)
    with pytest.raises(UsageFailure) as caught:
        load(path)
    assert caught.value.hint
    assert says in f"{caught.value.message}; {caught.value.hint}"


def test_bytes_of_a_terminal_that_are_no_utf8_are_no_name() -> None:
    with pytest.raises(UsageFailure, match="name is no UTF-8"):
        from_table({"name": "a\udcff"}, "--set")


@pytest.mark.parametrize(
    "path", ["compute.publicKeys.x", "compute.publicKeys.7", "compute.name.first", "compute.name.a.b"]
)
def test_what_imds_cannot_show_is_said_before_a_guest_asks(path: str) -> None:
    with pytest.raises(UsageFailure, match=f"there is no place {path}"):
        Fabric(Machine(imds=((path, "1"),))).start()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="vm.toml"):
        load(tmp_path / "vm.toml")


@pytest.mark.parametrize(
    ("msp", "wireserver", "imds"),
    [
        ("disabled", "disabled", "disabled"),
        ("enforce", "enforce", "enforce"),
        ("imds=enforce", "disabled", "enforce"),
        ("wireserver=audit, imds=enforce", "audit", "enforce"),
    ],
)
def test_the_security_protocol_has_a_mode_for_each_endpoint(msp: str, wireserver: str, imds: str) -> None:
    machine = Machine(msp=msp)
    assert (machine.msp_mode("wireserver"), machine.msp_mode("imds")) == (wireserver, imds)
    assert machine.guest_proxy is (msp != "disabled")


def test_a_machine_is_made_again_from_its_table() -> None:
    machine = Machine(
        identity=("system", "1"),
        data_disks=(DataDisk(0, 64), DataDisk(2, 8, "ReadOnly")),
        scheduled_events=("Reboot",),
        secondary_nics=(("00:0d:3a:6e:00:99", "10.1.0.9"),),
        tags=(("a", "b"),),
        msp="enforce",
        nics_shuffled=True,
    )
    assert from_table(as_table(machine), "x") == machine


def test_sizes_alone_take_the_next_free_luns() -> None:
    assert from_table({"data_disks": [64, {"lun": 5, "size": 1}, 8]}, "x").data_disks == (
        DataDisk(0, 64),
        DataDisk(5, 1),
        DataDisk(6, 8),
    )
