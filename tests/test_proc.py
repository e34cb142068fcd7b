"""What `proc` promises of descriptors, and of programs that speak for a guest."""

import fcntl
import os
import resource

import pytest

from azready.errors import Failure
from azready.proc import ask, readable


def test_a_descriptor_beyond_what_select_knows_is_waited_for() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1100:
        pytest.skip("needs 1,100 open files: ulimit -n")
    source, sink = os.pipe()
    high = fcntl.fcntl(source, fcntl.F_DUPFD, 1050)
    try:
        assert not readable(high, 0.0)
        os.write(sink, b"x")
        assert readable(high, 0.0)
        os.read(high, 1)
        os.close(sink)
        assert readable(high, 0.0), "the other end is gone"
    finally:
        os.close(high)
        os.close(source)


def test_of_a_program_that_speaks_without_end_a_part_is_taken() -> None:
    done = ask(["sh", "-c", "yes & exec yes no >&2"], timeout=60, most=1000)
    assert done.status != 0
    assert max(len(done.stdout), len(done.stderr)) == 1000


def test_both_outputs_and_the_status_of_a_program_are_told() -> None:
    done = ask(["sh", "-c", "printf 'a\\377'; echo b >&2; exit 3"], timeout=60, env={"PATH": "/usr/bin:/bin"})
    assert (done.stdout, done.stderr, done.status) == ("a\ufffd", "b\n", 3)


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & echo left", "exec >&- 2>&-; sleep 60"])
def test_a_program_that_does_not_end_is_ended(script: str) -> None:
    with pytest.raises(Failure, match="did not end"):
        ask(["timeout", "60", "sh", "-c", script], timeout=0.3)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(Failure, match="absent cannot be started"):
        ask(["absent"], timeout=1)
