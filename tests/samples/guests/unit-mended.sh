#!/bin/sh
# The unit, mended: the name first, and only from a good answer; off only after a report that was accepted.
set -eu
until name=$(curl -s --fail -H Metadata:true \
    'http://169.254.169.254/metadata/instance/compute/name?api-version=2019-06-01&format=text'); do
    sleep 5
done
hostnamectl set-hostname "$name"
"$@"
systemctl disable azure-provisioning.service
