"""Booting an image against the fabric, in a container or in QEMU, and drawing the timeline."""
