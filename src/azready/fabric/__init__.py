"""A local Azure as a guest sees it: WireServer, IMDS, DHCP, provisioning medium, KVP; with a ledger and a verdict."""
