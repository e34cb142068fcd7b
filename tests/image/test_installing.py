"""Packages that are put in: by a real apt, from a repository that only the proxy reaches; what the proxy refuses."""

import contextlib
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from azready.image.targets import web_proxy

PLATFORM = ["168.63.129.16", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a83f:8110", "fe80::1%eth0"]
HERE = ["127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "224.0.0.1", "::ffff:127.0.0.1"]


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("address", [*PLATFORM, *HERE])
def test_the_platform_and_this_machine_are_not_reached(address: str) -> None:
    assert not web_proxy.allowed(address)


@pytest.mark.parametrize(
    "address", ["151.101.2.132", "10.0.0.4", "2a04:4e42::644", "168.63.129.17", "64:ff9b::808:808"]
)
def test_mirrors_are_reached(address: str) -> None:
    assert web_proxy.allowed(address)


@contextlib.contextmanager
def _through(may: Callable[[str], bool]) -> Iterator[int]:
    """A proxy on a port of loopback, as if the socket had come from inside."""
    inside, outside = socket.socketpair()
    with inside, outside, web_proxy.proxy(outside, may), socket.create_server(("127.0.0.1", 0)) as listening:
        socket.send_fds(inside, [b"!"], [listening.fileno()])
        yield listening.getsockname()[1]


def _say(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *about: object) -> None:
            super().__init__(*about, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *about: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_file_comes_through_whole_by_get_and_by_connect(served: int) -> None:
    with _through(lambda address: True) as port:
        opener = build_opener(ProxyHandler({"http": f"http://127.0.0.1:{port}"}))
        with opener.open(f"http://127.0.0.1:{served}/file") as answer:
            assert answer.read() == b"x" * 3_000_000
        inner = b"GET /file HTTP/1.0\r\n\r\n"
        said = _say(port, f"CONNECT 127.0.0.1:{served} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + inner)
    assert said.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.0 200 OK") and said.endswith(b"x" * 99)


def test_it_goes_through_the_proxy_of_this_machine(served: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one resolves the name; the server of the test stands for it, and is asked for the whole URL."""
    monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{served}")
    with _through(web_proxy.allowed) as port:
        assert b" 404 " in _say(port, b"GET http://mirror.invalid/file HTTP/1.1\r\nHost: mirror.invalid\r\n\r\n")
        for host in (b"169.254.169.254", b"0xa9fea9fe", b"169.254.43518", b"127.1", b"[::1]", b"LocalHost."):
            assert _say(port, b"GET http://" + host + b"/ HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 "), host
        monkeypatch.setenv("http_proxy", "socks5h://127.0.0.1:1")
        assert b"http_proxy of this machine is a socks5h proxy" in _say(port, b"GET http://a.invalid/ HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("path", ["//pool//a?b=c", "/", "?x", "/a%2fb/../~c+d"])
def test_the_path_arrives_as_it_was_asked_for(path: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        _through(lambda address: True) as port,
        socket.create_connection(("127.0.0.1", port), 20) as client,
    ):
        client.sendall(f"GET http://127.0.0.1:{server.getsockname()[1]}{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        with server.accept()[0] as asked:
            assert asked.recv(65536).split(b" ")[1].decode() == (path if path[0] == "/" else f"/{path}")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://169.254.169.254/metadata HTTP/1.1\r\n\r\n", 403),
        (b"GET http://168.63.129.16/machine HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT 168.63.129.16:32526 HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT [::ffff:a9fe:a9fe]:80 HTTP/1.1\r\n\r\n", 403),
        (b"GET http://2852039166/ HTTP/1.1\r\n\r\n", 403),  # 169.254.169.254 as one number
        (b"CONNECT localhost:22 HTTP/1.1\r\n\r\n", 403),
        (b"CONNECT host.invalid:443 HTTP/1.1\r\n\r\n", 502),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", 400),
        (b"GET file:///etc/passwd HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT x:99999 HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01 hello", 400),
        (b"", 400),
    ],
)
def test_what_it_refuses_is_never_connected_to(request_: bytes, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[object] = []
    with _through(web_proxy.allowed) as port:
        monkeypatch.setattr(web_proxy.socket.socket, "connect", lambda self, place: connected.append(place))
        client = socket.socket()
        socket._socket.socket.connect(client, ("127.0.0.1", port))  # type: ignore[attr-defined]
        with client:
            client.sendall(request_)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
    assert connected == []


POSTINST = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/3128
printf 'GET http://169.254.169.254/metadata HTTP/1.1\\r\\n\\r\\n' >&3
head -n 1 <&3 >/srv/answer
if (exec 4<>/dev/tcp/10.99.0.1/8000) 2>/dev/null; then echo reached >/srv/direct; fi
test -x /usr/sbin/policy-rc.d && echo "$http_proxy" >/srv/proxy
"""


def _package(folder: Path, name: str, depends: str = "", postinst: str = "") -> Path:
    """A .deb with nothing but a name, and its stanza beside it."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: me <me@example.com>\nDescription: {name}\n"
    (tree / "DEBIAN/control").write_text(control + (f"Depends: {depends}\n" if depends else ""))
    if postinst:
        (tree / "DEBIAN/postinst").write_text(postinst)
        (tree / "DEBIAN/postinst").chmod(0o755)
    made = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, made], check=True, capture_output=True)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    stanza = f"{(tree / 'DEBIAN/control').read_text()}Filename: ./{made.name}\nSize: {made.stat().st_size}\n"
    with (folder / "Packages").open("a") as packages:
        packages.write(f"{stanza}SHA256: {digest}\n\n")
    return made


IN_ITS_NETWORK = """
set -e
ip link set lo up; ip address add 10.99.0.1/32 dev lo; ip address add 169.254.169.254/32 dev lo
"$PYTHON" -m http.server --bind 10.99.0.1 --directory "$REPO" 8000 >"$REPO/log" 2>&1 &
"$PYTHON" -m http.server --bind 169.254.169.254 --directory "$REPO" 80 >"$REPO/platform" 2>&1 &
until (exec 3<>/dev/tcp/10.99.0.1/8000) 2>/dev/null; do sleep 0.1; done
status=0; "$PYTHON" -m azready prepare "$@" || status=$?
kill %1 %2; exit $status
"""


@pytest.mark.long
def test_prepare_puts_them_into_a_real_tree(
    debian_tree: Callable[..., Path], tmp_path: Path, need: Callable[..., None]
) -> None:
    """By name from a repository, with what it depends on; a file that depends on both; then a command, then keys."""
    need("root", "tool:ip", "tool:dpkg-deb")
    tree, repository = debian_tree("bookworm", "python3-minimal"), tmp_path / "repo"
    repository.mkdir()
    _package(repository, "greeting-data")
    _package(repository, "greeting", "greeting-data", POSTINST)
    local = _package(tmp_path, "local", "greeting")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA me\n")
    for old in tree.glob("etc/apt/sources.list*"):
        subprocess.run(["rm", "-r", old], check=True)
    (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] http://10.99.0.1:8000 ./\n")
    words = [str(tree), "--install", "greeting", "--install", str(local), "--run", "useradd -m new; dpkg -s local"]
    words += ["--ssh-inject", f"new:{tmp_path}/key.pub"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHON": sys.executable, "REPO": str(repository)}
    enter = ["unshare", "--net", "bash", "-c", IN_ITS_NETWORK, "bash"]
    done = subprocess.run([*enter, *words], capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tree / "srv/answer").read_text().startswith("HTTP/1.1 403 "), done.stderr
    assert not (tree / "srv/direct").exists() and "GET" not in (repository / "platform").read_text()
    assert (tree / "srv/proxy").read_text() == "http://127.0.0.1:3128\n"
    assert (tree / "home/new/.ssh/authorized_keys").read_text() == "ssh-ed25519 AAAA me\n"
    for path in ("var/cache/azready", "usr/sbin/policy-rc.d"):
        assert not (tree / path).exists()
    wrong = subprocess.run(
        [*enter, str(tree), "--install", "absent"], capture_output=True, text=True, check=False, env=environment
    )
    assert wrong.returncode == 3 and "Unable to locate package absent" in wrong.stderr
    assert not (tree / "usr/sbin/policy-rc.d").exists()
