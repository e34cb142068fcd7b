"""Azure's addresses, as every VM sees them; the fabric and the guest, two readings of one protocol, have their own."""

WIRESERVER = "168.63.129.16"
IMDS = "169.254.169.254"
