"""A size's name says what the platform gives the VM."""

import pytest

from azready.fabric.sizes import Hardware, hardware


@pytest.mark.parametrize(
    ("size", "controller", "network", "generations"),
    [
        ("Standard_D4s_v6", "NVMe", "MANA", (2,)),
        ("Standard_D2ds_v6", "NVMe", "MANA", (2,)),
        ("Standard_E8pds_v7", "NVMe", "MANA", (2,)),
        ("Standard_D4s_v5", "SCSI", "mlx5", (1, 2)),
        ("Standard_B2s", "SCSI", "none", (1, 2)),
        ("Standard_B2ats_v2", "SCSI", "mlx5", (1, 2)),
        ("Standard_DC2as_v5", "SCSI", "mlx5", (2,)),
        ("Standard_E4-2ds_v5", "SCSI", "mlx5", (1, 2)),
        ("Standard_NC24ads_A100_v4", "SCSI", "mlx5", (1, 2)),
    ],
)
def test_controller_network_and_generations(
    size: str, controller: str, network: str, generations: tuple[int, ...]
) -> None:
    made = hardware(size)
    assert (made.controller, made.network, made.generations) == (controller, network, generations)


def test_a_local_disk_is_a_letter_since_v4_and_was_everybodys_before() -> None:
    assert hardware("Standard_D2s_v3").temporary_disk == 16
    assert hardware("Standard_D2s_v5").temporary_disk == 0
    assert hardware("Standard_D2ds_v5").temporary_disk > 0
    assert hardware("Standard_B2ats_v2").temporary_disk == 0


def test_confidential_sizes_are_those_of_dc_and_ec_since_v5() -> None:
    assert hardware("Standard_DC4es_v5").confidential
    assert hardware("Standard_EC4ads_v6").confidential
    assert not hardware("Standard_DC2s_v3").confidential


def test_an_unknown_name_is_the_most_usual_machine() -> None:
    assert hardware("my-own") == hardware("") == Hardware()
