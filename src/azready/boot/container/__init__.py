"""A tree booted in namespaces: the host's side, and the processes inside."""
