"""Power cuts of a first boot for real: on ext4, XFS and btrfs, at each call of any process that changes the disk.

`make crash` makes the table of docs/power-cuts.md; test_crash.py runs a small part of it.
"""
