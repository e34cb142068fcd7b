"""The control plane: capture a VM, publish a disk, verify an image."""
