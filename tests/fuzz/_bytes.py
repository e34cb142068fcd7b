"""Readers of bytes from outside: what each is given (samples, spoilt at random), and what it may answer with."""

import random
import re
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
    """`read` may raise what `refuses` names, and nothing else. `slow` samples begin one input in a hundred."""

    read: Callable[[bytes], object]
    samples: Sequence[bytes]
    refuses: tuple[type[Exception], ...] = ()
    slow: Sequence[bytes] = ()

    def spoilt(self, chance: random.Random) -> bytes:
        """An input."""
        return spoilt(chance, self.slow if self.slow and chance.random() < 0.01 else self.samples)


def spoilt(chance: random.Random, samples: Sequence[bytes], most: int = 1 << 20) -> bytes:
    """A sample with some bytes changed, cut, doubled, swapped, with the piece of another, or another word or value."""
    data = bytearray(chance.choice(samples))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at, size = chance.randrange(len(data) + 1), chance.choice((1, 1, 2, 4, 8, 64, 512))
        match chance.randrange(12):
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
            case _:
                if word := WORD.search(data, at, at + 256):
                    data[word.start() : word.end()] = chance.choice(VALUES)
    return bytes(data[:most])


WORD = re.compile(rb'"[^"\n]*"|[\w.]+|\[[^\[\]\n]*\]')
VALUES = (
    *(b"0", b"1", b"-1", b"3.5", b"1e999", b"18446744073709551616", b"9" * 30, b"NaN", b"null", b"true", b"false"),
    *(b"[]", b"{}", b'""', b'"x"', b'"0"', b'"\\ud800"', b'[[1], "x"]', b'["a\\u0000"]', b'{"a" = 1}', b'{"a": 1}'),
    *(b"", b"x", b"include", b"168.63.129.16", b"2026-11-27T02:00:00Z", b"0x10", b"1_0", b'"\xc3\xa9"', b"'y'", b"-"),
)
"""Values of JSON, TOML and others, right and wrong: a word changed for one of them keeps the document whole."""

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
                data = reader.spoilt(random.Random(f"{name} {seed} {number}"))
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
