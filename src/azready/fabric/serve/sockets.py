"""Opening the fabric's sockets, for programs that do so inside a namespace; standard library only."""

import socket


def open_socket(service: str, address: str, port: int, interface: str = "") -> socket.socket:
    """A socket that hears a service's questions: streams at `address`; for dhcp all that comes by `interface`."""
    if service == "dhcp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("", port))
        return sock
    if service == "dns":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        return sock
    return socket.create_server((address, port), backlog=4096)
