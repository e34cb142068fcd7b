"""The namespace in which guest and fabric meet: links, DHCP, taps, and the proof that nothing leads out."""
