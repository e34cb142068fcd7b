#!/bin/sh
# What the published unit makes of a report program ($@): report; name the host by what IMDS says, whatever it says;
# switch itself off, however it went.
"$@"
hostnamectl set-hostname "$(curl -s -H Metadata:true \
    'http://169.254.169.254/metadata/instance/compute/name?api-version=2019-06-01&format=text')"
systemctl disable azure-provisioning.service
