import hashlib
import random
from pathlib import Path
from typing import Protocol

import pytest

from metadialog.downloads.fetch import Patience, fetch
from metadialog.downloads.sources import RemoteFile
from metadialog.errors import DataError

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def ignore(done: int, total: int | None) -> None:
    """Show no progress."""


class Publisher(Protocol):
    files: dict[str, bytes]
    cut: list[int]
    statuses: list[int]
    ranges: bool
    tags: bool
    lengths: bool
    lies_about_ranges: bool
    requests: list[str]

    def url(self, path: str) -> str: ...


@pytest.fixture(autouse=True)
def published(publisher: Publisher) -> None:
    publisher.files["data.bin"] = CONTENT


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder / "data.bin"


def bring(publisher: Publisher, target: Path, patience: Patience, **changes: object) -> str:
    options: dict[str, object] = {"url": publisher.url("data.bin"), "sha256": SHA256} | changes
    return fetch(RemoteFile.model_validate(options), target, ignore, patience)


def test_a_file_is_brought_whole_with_its_progress(publisher: Publisher, target: Path, impatient: Patience) -> None:
    seen: list[tuple[int, int | None]] = []
    file = RemoteFile(url=publisher.url("data.bin"), sha256=SHA256)
    assert fetch(file, target, lambda done, total: seen.append((done, total)), impatient) == SHA256
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["data.bin"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_broken_connections_are_resumed_where_they_broke(
    publisher: Publisher, target: Path, impatient: Patience
) -> None:
    publisher.cut = [98_304, 114_688, 245_760]
    assert bring(publisher, target, impatient) == SHA256
    assert publisher.requests == ["", "bytes=98304-", "bytes=114688-", "bytes=245760-"]
    assert target.read_bytes() == CONTENT


def test_another_process_goes_on_where_one_gave_up(publisher: Publisher, target: Path, impatient: Patience) -> None:
    publisher.cut = [98_304, *[0] * 3]
    with pytest.raises(DataError) as caught:
        bring(publisher, target, impatient)
    message = str(caught.value)
    assert message.startswith(f"{publisher.url('data.bin')}: cannot be downloaded: ")
    assert message.endswith("; the 98,304 bytes received so far are kept: run it again to continue")
    assert "\n" not in message
    assert not target.exists()
    publisher.requests.clear()
    assert bring(publisher, target, impatient) == SHA256
    assert publisher.requests == ["bytes=98304-"]


def test_what_is_whole_already_is_not_asked_for_again(publisher: Publisher, target: Path, impatient: Patience) -> None:
    publisher.cut = [98_304]
    publisher.statuses = []
    bring(publisher, target, impatient)
    # As left by a process that was killed between writing the last byte and renaming the file.
    target.rename(target.with_name("data.bin.part"))
    notes = f'{{"url": "{publisher.url("data.bin")}", "validator": "\\"x\\"", "total": {len(CONTENT)}}}'
    target.with_name("data.bin.part.json").write_text(notes)
    publisher.requests.clear()
    assert bring(publisher, target, impatient) == SHA256
    assert publisher.requests == []


def test_a_file_that_changed_is_brought_anew(publisher: Publisher, target: Path, impatient: Patience) -> None:
    publisher.cut = [98_304, *[0] * 3]
    with pytest.raises(DataError):
        bring(publisher, target, impatient)
    publisher.files["data.bin"] = changed = random.Random(1).randbytes(200_000)
    assert bring(publisher, target, impatient, sha256=None) == hashlib.sha256(changed).hexdigest()
    assert publisher.requests[-1] == "bytes=98304-"
    assert target.read_bytes() == changed


@pytest.mark.parametrize("missing", ["ranges", "tags", "lengths"])
def test_servers_that_cannot_resume_send_all_of_it_again(
    missing: str, publisher: Publisher, target: Path, impatient: Patience
) -> None:
    setattr(publisher, missing, False)
    # Without a length, only the checksum shows that a response was cut off.
    publisher.cut = [] if missing == "lengths" else [98_304, 114_688]
    assert bring(publisher, target, impatient) == SHA256
    assert target.read_bytes() == CONTENT


def test_other_bytes_than_those_asked_for_are_not_appended(
    publisher: Publisher, target: Path, impatient: Patience
) -> None:
    publisher.cut = [98_304]
    publisher.lies_about_ranges = True
    assert bring(publisher, target, impatient) == SHA256
    assert publisher.requests == ["", "bytes=98304-", ""]


def test_a_wrong_checksum_is_said_and_nothing_is_kept(publisher: Publisher, target: Path, impatient: Patience) -> None:
    with pytest.raises(DataError) as caught:
        bring(publisher, target, impatient, sha256="0" * 64)
    assert f"is {SHA256}; it should be {'0' * 64}" in str(caught.value)
    assert list(target.parent.iterdir()) == []
    assert len(publisher.requests) == 1


def test_a_wrong_checksum_of_a_resumed_file_is_tried_once_from_the_start(
    publisher: Publisher, target: Path, impatient: Patience
) -> None:
    publisher.cut = [98_304, *[0] * 3]
    with pytest.raises(DataError):
        bring(publisher, target, impatient)
    part = target.with_name("data.bin.part")
    part.write_bytes(b"?" + part.read_bytes()[1:])
    assert bring(publisher, target, impatient) == SHA256
    assert publisher.requests[-2:] == ["bytes=98304-", ""]


def test_a_file_that_is_not_there_is_not_asked_for_twice(
    publisher: Publisher, target: Path, impatient: Patience
) -> None:
    with pytest.raises(DataError) as caught:
        bring(publisher, target, impatient, url=publisher.url("gone.bin"))
    assert str(caught.value) == (
        f"{publisher.url('gone.bin')}: the server answered 404 Not Found; download the data by hand, and name their "
        f"folder with dataset.root="
    )
    assert publisher.requests == [""]


def test_a_server_that_fails_for_a_while_is_asked_again(
    publisher: Publisher, target: Path, impatient: Patience
) -> None:
    publisher.statuses = [500, 503]
    assert bring(publisher, target, impatient) == SHA256


def test_a_server_that_goes_on_failing_is_given_up(publisher: Publisher, target: Path, impatient: Patience) -> None:
    publisher.statuses = [500] * 9
    with pytest.raises(DataError, match=r"cannot be downloaded: the server answered 500 Internal Server Error$"):
        bring(publisher, target, impatient)
    assert len(publisher.requests) == impatient.without_progress


def test_nobody_there(target: Path, impatient: Patience) -> None:
    with pytest.raises(DataError, match="cannot be downloaded: ") as caught:
        fetch(RemoteFile(url="http://127.0.0.1:9/x"), target, ignore, impatient)
    assert "\n" not in str(caught.value)


def test_a_file_without_end_is_refused(publisher: Publisher, target: Path, impatient: Patience) -> None:
    publisher.lengths = False
    with pytest.raises(DataError, match="is longer than 99,999 bytes"):
        bring(publisher, target, impatient, max_bytes=99_999)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_is_gone_is_said_in_one_line(publisher: Publisher, tmp_path: Path, impatient: Patience) -> None:
    with pytest.raises(DataError, match=r"cannot be written: No such file or directory"):
        bring(publisher, tmp_path / "gone" / "data.bin", impatient)


def test_proxies_of_the_environment_are_used(
    publisher: Publisher, target: Path, impatient: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", publisher.url(""))
    monkeypatch.setenv("no_proxy", "")
    publisher.files["http://data.example/data.bin"] = CONTENT  # requests to a proxy have the full URL
    assert bring(publisher, target, impatient, url="http://data.example/data.bin") == SHA256
