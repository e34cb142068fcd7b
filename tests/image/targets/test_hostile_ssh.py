"""An ssh target answers with data from outside."""

import gzip

import pytest

from azready.image.targets.ssh import _unpacked


@pytest.mark.long
def test_a_listing_that_unpacks_without_end_is_refused() -> None:
    assert _unpacked(gzip.compress(b"etc")) == b"etc"
    with pytest.raises(ValueError, match="no end"):
        _unpacked(gzip.compress(bytes(600 << 20), 1))
    for broken in (b"", b"no gzip", gzip.compress(b"etc")[:-4]):
        with pytest.raises(ValueError):
            _unpacked(broken)
