#!/bin/sh
# What the published unit does around the report: the host name is what IMDS answers, whatever that is, and the
# unit disables itself, however the report went. Arguments: root, IMDS, and the report's command.
root=$1 imds=$2
shift 2
"$@"
curl --silent --header Metadata:true "$imds/metadata/instance/compute/name?api-version=2019-06-01&format=text" \
    >"$root/etc/hostname"
rm -f "$root/etc/systemd/system/multi-user.target.wants/azure-provisioning.service"
