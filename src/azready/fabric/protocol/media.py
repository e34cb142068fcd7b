"""The provisioning medium: `ovf-env.xml` of a machine, and the UDF image that holds it."""

from azready.fabric.machine import Machine


def ovf_env(machine: Machine) -> str:
    raise NotImplementedError
