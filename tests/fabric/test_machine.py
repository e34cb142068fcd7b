"""A machine is a value: its identity follows from its name, and a bad description says what is wrong."""

import uuid
from pathlib import Path

import pytest

from azready.errors import UsageFailure
from azready.fabric.machine import Machine, load


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
        ("generation = '2'", "generation must be a int"),
        ("public_keys = 'ssh-rsa x'", "public_keys must be a list"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_bad_description_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "vm.toml"
    path.write_text(text)
    with pytest.raises(UsageFailure, match=says) as caught:
        load(path)
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageFailure, match="vm.toml"):
        load(tmp_path / "vm.toml")
