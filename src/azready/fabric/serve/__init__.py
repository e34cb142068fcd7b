"""The effects of the fabric: sockets, threads, clocks, namespaces."""
