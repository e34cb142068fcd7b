"""The platform's services that are not HTTP: DHCP and DNS, on sockets that others opened.

Sockets are opened inside a network namespace (`sockets.open_socket`) and served by the fabric's loop, which may live
outside of it.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

DHCP_CLIENT = 68
_LARGEST = 65535
_IP_PKTINFO = 8
"""Of Linux' ip(7): which address a datagram is sent from. Python names it since 3.14 only."""


def hear(sock: socket.socket, heard: Callable[[bytes, tuple[str, int]], None]) -> Callable[[], None]:
    """Call `heard` in the running loop with every datagram and who sent it; returns what ends that."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        try:
            data, source = sock.recvfrom(_LARGEST)
        except OSError:  # what could not be delivered, or nothing after all
            return
        heard(data, source)

    loop.add_reader(sock, readable)

    def end() -> None:
        loop.remove_reader(sock)
        sock.close()

    return end


def send_lease(sock: socket.socket, answer: bytes, client: str, server: str) -> None:
    """Send a DHCP answer from the address `server`: to `client`, or to everybody while it has no address."""
    packet_info = struct.pack("=I4s4s", 0, socket.inet_aton(server), bytes(4))
    to = (client if client != "0.0.0.0" else "255.255.255.255", DHCP_CLIENT)
    try:
        sock.sendmsg([answer], [(socket.IPPROTO_IP, _IP_PKTINFO, packet_info)], 0, to)
    except OSError:  # the guest's link is gone
        pass


async def answer_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[bytes], bytes | None]
) -> None:
    """DNS over TCP (RFC 7766): each message with its length before it."""
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(2))
            said = answer(await reader.readexactly(size))
            if said is None:
                break
            writer.write(len(said).to_bytes(2) + said)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
