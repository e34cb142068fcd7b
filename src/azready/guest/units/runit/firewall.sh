# shellcheck shell=sh
# Sourced by runit's first stage, before the network and any service: only root may talk to the Azure WireServer.
/usr/lib/azure-provisioning/boot firewall
