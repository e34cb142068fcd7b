"""Uploads against a page blob with the real one's rules: what is sent, what is survived, what is never told."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azready.azure.pages import Sas
from azready.azure.ranges import PAGE_WRITE, Range, data_ranges, minus
from azready.azure.upload import Journal, Upload, Uploaded, UploadFailed, journal_for
from tests.azure import azurite, netns
from tests.azure.blobs import Blob, FileStore, serving_blob

MIB = 1024 * 1024
SIZE = 40 * MIB + 512


@pytest.fixture
def vhd(tmp_path: Path) -> Path:
    """40 MiB with 9 MiB of data in three places, and a footer."""
    path = tmp_path / "disk.vhd"
    with path.open("wb") as file:
        file.truncate(SIZE)
        for start, length in ((0, MIB), (10 * MIB, 6 * MIB), (30 * MIB, 2 * MIB)):
            file.seek(start)
            file.write(os.urandom(length))
        file.seek(40 * MIB)
        file.write(b"conectix" + bytes(504))
    return path


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[Blob]:
    with serving_blob(FileStore(tmp_path / "blob", SIZE)) as blob:
        yield blob
    assert blob.refused == []


@pytest.fixture
def upload(vhd: Path, blob: Blob, tmp_path: Path) -> Callable[..., Uploaded]:
    def run(said: io.StringIO | None = None, threads: int = 4) -> Uploaded:
        out = said or io.StringIO()
        journal = journal_for(tmp_path / "pages", "disk#1", vhd)
        say: Callable[[str], object] = lambda text: out.write(text + "\n")  # noqa: E731
        return Upload(vhd, lambda: Sas(blob.grant()), journal, say=say, threads=threads, pause=0.01).run()  # type: ignore[arg-type]

    return run


def arrived(blob: Blob, vhd: Path) -> bool:
    return blob.store.content() == vhd.read_bytes()


def test_only_data_is_sent_and_everything_arrives(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    done = upload()
    assert arrived(blob, vhd)
    assert done.sent == 9 * MIB + 512
    assert done.skipped == done.zeroed == 0
    assert max(length for _, length, _ in blob.puts) <= PAGE_WRITE
    assert any(start == 40 * MIB for start, _, _ in blob.puts), "the footer"


def test_a_second_upload_sends_nothing(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    upload()
    blob.puts.clear()
    again = upload()
    assert (again.sent, again.skipped) == (0, 9 * MIB + 512)
    assert blob.puts == []


def test_old_data_is_overwritten_with_zeros(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    blob.store.write(20 * MIB, b"old" * 512 * 9000)
    blob.page_size = 1
    done = upload()
    assert arrived(blob, vhd)
    assert done.zeroed == 3 * 512 * 9000 - 2 * MIB, "what the file has no data for"


def test_a_cut_upload_goes_on_where_it_stopped(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    blob.dead_after = 2
    with pytest.raises(UploadFailed, match="connection lost"):
        upload(threads=1)
    blob.dead_after = 0
    before = sum(length for _, length, _ in blob.puts)
    blob.puts.clear()
    done = upload()
    assert arrived(blob, vhd)
    assert before > 0
    assert done.skipped == before
    assert done.sent == 9 * MIB + 512 - before


def test_a_journal_that_lies_is_not_believed(
    blob: Blob, vhd: Path, upload: Callable[..., Uploaded], tmp_path: Path
) -> None:
    """What the journal lists must be in the disk's own list as well: the disk may be a new one."""
    upload()
    blob.store = FileStore(tmp_path / "other", SIZE)
    upload()
    assert arrived(blob, vhd)


def test_a_changed_file_is_sent_again(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    upload()
    with vhd.open("r+b") as file:
        file.write(b"changed")
    assert upload().sent == 9 * MIB + 512
    assert arrived(blob, vhd)


def test_an_expired_sas_is_renewed_once_for_all_threads(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    blob.expire_after = 2
    upload(said := io.StringIO())
    assert arrived(blob, vhd)
    assert blob.grants == 2
    assert said.getvalue().count("asking for a new SAS") >= 1


def test_busy_answers_and_lost_answers_are_tried_again(blob: Blob, vhd: Path, upload: Callable[..., Uploaded]) -> None:
    blob.busy, blob.cut = 1, 3
    upload(said := io.StringIO())
    assert arrived(blob, vhd)
    assert "asks to wait 1 s (ServerBusy)" in said.getvalue()


def test_a_disk_of_another_size_is_refused(tmp_path: Path, vhd: Path) -> None:
    with serving_blob(FileStore(tmp_path / "small", 20 * MIB)) as blob:
        journal = Journal(tmp_path / "pages", "t")
        with pytest.raises(UploadFailed, match=f"takes {20 * MIB} bytes, the file has {SIZE}"):
            Upload(vhd, lambda: Sas(blob.grant()), journal, pause=0.01).run()
        assert blob.puts == []


def test_access_that_stays_refused_is_a_sentence(blob: Blob, vhd: Path, tmp_path: Path) -> None:
    url = blob.grant()
    blob.revoke()
    with pytest.raises(UploadFailed, match="with a new SAS too"):
        Upload(vhd, lambda: Sas(url), Journal(tmp_path / "pages", "t"), pause=0.01).run()


def test_a_sas_is_told_nowhere(blob: Blob, vhd: Path, upload: Callable[..., Uploaded], tmp_path: Path) -> None:
    said = io.StringIO()
    blob.expire_after, blob.dead_after = 2, 3
    with pytest.raises(UploadFailed) as caught:
        upload(said)
    told = [said.getvalue(), str(caught.value), caught.value.hint, repr(Sas(blob.grant())), str(Sas(blob.grant()))]
    told.append((tmp_path / "pages").read_text())
    error: BaseException | None = caught.value
    while error:
        told.append(repr(error))
        error = error.__cause__ or error.__context__
    assert "SECRET" not in "".join(told)
    assert "sig=" not in "".join(told)


@pytest.fixture(scope="session")
def azurite_program() -> tuple[Path, Path]:
    """Installed before any namespace is entered."""
    return azurite.install()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_azurite_holds_the_file_after_a_broken_and_a_second_upload(
    azurite_program: tuple[Path, Path], vhd: Path, tmp_path: Path
) -> None:
    """Microsoft's own storage imitation keeps the bytes: old data, a break, an expired SAS; then the hash and the
    list of ranges."""
    assert netns.only_loopback()
    with (
        azurite.page_blob(*azurite_program, tmp_path / "azurite", SIZE) as store,
        serving_blob(store) as blob,
    ):
        store.write(20 * MIB, b"old" * 512 * 1000)
        journal = journal_for(tmp_path / "pages", "disk#1", vhd)
        blob.dead_after, blob.expire_after = 3, 1
        with pytest.raises(UploadFailed):
            Upload(vhd, lambda: Sas(blob.grant()), journal, threads=2, pause=0.01).run()
        blob.dead_after = 0
        again = journal_for(tmp_path / "pages", "disk#1", vhd)
        done = Upload(vhd, lambda: Sas(blob.grant()), again, threads=4, pause=0.01).run()
        assert blob.refused == []
        assert done.skipped > 0
        assert hashlib.sha256(store.content()).digest() == hashlib.sha256(vhd.read_bytes()).digest()
        held = [Range(start, end) for start, end in store.ranges()]
        assert list(minus(data_ranges(vhd), held)) == []
        assert sum(map(len, held)) == 9 * MIB + 512 + 512 * 3000, "data, and the zeros over old data; nothing else"


TORN = ("419", "419 ", "4194304 83", "4194304 8388608", "4194304 8388608 1\n", "x y\n")


@pytest.mark.parametrize("torn", TORN)
def test_a_line_of_the_journal_that_a_power_cut_tore_counts_for_nothing(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "pages"
    path.write_text(f"t\n0 4194304\n{torn}")
    journal = Journal(path, "t")
    journal.load()
    assert journal.done == {Range(0, 4194304)}
    journal.add(Range(8388608, 8388700))
    journal.load()
    assert journal.done == {Range(0, 4194304), Range(8388608, 8388700)}
