"""A disk booted in QEMU: its command line, process, monitor and network packets."""
