"""What `proc` promises of descriptors."""

import fcntl
import os
import resource

import pytest

from azready.proc import readable


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
