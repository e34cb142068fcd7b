"""What Python does not offer of the kernel: namespaces, mounts and filters of system calls."""
