"""Readers of bytes from outside: what each is given (samples, spoilt at random), and what it may answer with."""

import random
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

HANG = 60
"""Seconds after which a reader hangs, on a busy machine, too."""


class Hangs(Exception):
    """A reader did not come to an end."""


@dataclass(frozen=True)
class Reader:
    """`read` may raise what `refuses` names, and nothing else."""

    read: Callable[[bytes], object]
    samples: Sequence[bytes]
    refuses: tuple[type[Exception], ...] = ()


def spoilt(chance: random.Random, samples: Sequence[bytes], most: int = 1 << 20) -> bytes:
    """A sample with some bytes changed, cut, doubled, swapped, or with the piece of another."""
    data = bytearray(chance.choice(samples))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 8, 64, 512))
        match chance.randrange(7):
            case 0:
                data[at : at + size] = chance.randbytes(size)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size] * chance.choice((1, 2, 50))
            case 3:
                data[at : at + size] = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
            case 4:
                other = chance.choice(samples)
                begin = chance.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + size]
            case 5:
                del data[at:]
            case 6:
                data[at:at] = chance.choice(TROUBLE)
    return bytes(data[:most])


TROUBLE = (
    b"\0", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"]]>", b"<!DOCTYPE x>",
    b"&#0;", b"&lt;", b"\\ud800", b"\\u0000", b"1e999", b"-0", b"9" * 400, b"[" * 2000, b'{"a":' * 500, b"%n%s",
    b"\x1b[2J", b"../" * 40, "\u0660\u0661\u00b2".encode(), "\u2028".encode(), b"\x85", b"'\"",
)  # fmt: skip


def campaign(readers: Mapping[str, Reader], seed: int, runs: int) -> Iterator[str]:
    """`runs` inputs for each reader; a text for each that broke it."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for name, reader in readers.items():
            for number in range(runs):
                data = spoilt(random.Random(f"{name} {seed} {number}"), reader.samples)
                signal.alarm(HANG)
                try:
                    reader.read(data)
                except reader.refuses:
                    pass
                except (Exception, RecursionError) as error:
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    yield f"{name}, run {number}: {error!r} at {where.filename}:{where.lineno}\n{data[:400]!r}"
                finally:
                    signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
