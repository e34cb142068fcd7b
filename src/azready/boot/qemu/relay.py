"""Joins standard input and output to a TCP port: `python -I -S relay.py HOST PORT`. Slirp starts one a connection."""

import os
import select
import socket
import sys


def main() -> None:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
    connection.settimeout(None)
    ways = {0: connection.fileno(), connection.fileno(): 1}
    while ways:
        for source in select.select(list(ways), [], [])[0]:
            data = os.read(source, 65536)
            target = ways[source]
            if data:
                _write(target, data)
            elif source == 0:  # the guest has said all; the answer may still be to come
                connection.shutdown(socket.SHUT_WR)
                del ways[0]
            else:
                return


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


if __name__ == "__main__":
    try:
        main()
    except OSError:
        sys.exit(1)
