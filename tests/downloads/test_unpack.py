import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from metadialog.downloads.sources import RemoteFile
from metadialog.downloads.unpack import unpack
from metadialog.errors import DataError

Kind = Literal["zip", "tar.gz"]
KINDS: tuple[Kind, ...] = ("zip", "tar.gz")


def pack(path: Path, kind: Kind, members: Mapping[str, bytes]) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as packed_tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.mode = 0o4777
                packed_tar.addfile(info, io.BytesIO(content))
    return path


def archive(kind: Kind, **options: object) -> RemoteFile:
    return RemoteFile.model_validate({"url": "http://publisher/x", "archive": kind} | options)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "target"
    folder.mkdir(parents=True)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_folders_come_out_as_they_went_in(kind: Kind, tmp_path: Path, target: Path) -> None:
    members = {"data/train.txt": b"Hi. __eou__ Ho.\n" * 1000, "data/deep/er/x": b"", "readme": "你好".encode()}
    unpack(pack(tmp_path / "a", kind, members), archive(kind), target)
    assert files(target) == members
    assert not (target / "readme").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


@pytest.mark.parametrize("kind", KINDS)
def test_leading_folders_and_other_members_are_left_out(kind: Kind, tmp_path: Path, target: Path) -> None:
    members = {
        "repo-master/train/1.json": b"1",
        "repo-master/code/run.py": b"2",
        "repo-master/README": b"3",
        "__MACOSX/repo-master/train/._1.json": b"4",
        "repo-master/train/.DS_Store": b"5",
    }
    unpack(pack(tmp_path / "a", kind, members), archive(kind, strip=1, keep=["train/*"]), target)
    assert files(target) == {"train/1.json": b"1"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/tmp/evil", "a/..", "..\\evil", "C:/evil", "C:evil", "\\\\host\\evil"],  # noqa: S108
)
def test_a_member_outside_is_refused(kind: Kind, name: str, tmp_path: Path, target: Path) -> None:
    packed = pack(tmp_path / "a", kind, {"good": b"1", name: b"2"})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="would be written outside of the target folder"):
        unpack(packed, archive(kind), target)
    assert set(tmp_path.rglob("*")) - before == {target / "good"}


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_links_and_devices_in_tar_are_refused(type_: bytes, word: str, tmp_path: Path, target: Path) -> None:
    with tarfile.open(tmp_path / "a", "w:gz") as packed:
        info = tarfile.TarInfo("door")
        info.type = type_
        info.linkname = "/etc"
        packed.addfile(info)
        inside = tarfile.TarInfo("door/evil")
        packed.addfile(inside)
    with pytest.raises(DataError, match=f"its member 'door' is a {word}"):
        unpack(tmp_path / "a", archive("tar.gz"), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("mode", "word"), [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "device")])
def test_links_and_devices_in_zip_are_refused(mode: int, word: str, tmp_path: Path, target: Path) -> None:
    info = zipfile.ZipInfo("door")
    info.create_system = 3
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as packed:
        packed.writestr(info, "/etc")
    with pytest.raises(DataError, match=f"its member 'door' is a {word}"):
        unpack(tmp_path / "a", archive("zip"), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_are_refused_by_size_and_by_ratio(kind: Kind, tmp_path: Path, target: Path) -> None:
    packed = pack(tmp_path / "a", kind, {"zeros": bytes(30 << 20)})
    with pytest.raises(DataError, match="grows beyond the size"):
        unpack(packed, archive(kind), target)
    assert sum(map(len, files(target).values())) <= max(200 * packed.stat().st_size, 1 << 20)
    honest = pack(tmp_path / "b", kind, {"x": b"x", "y": b"y" * 999})
    with pytest.raises(DataError, match="grows beyond the size"):
        unpack(honest, archive(kind, max_unpacked_bytes=500), target)


def test_a_size_that_the_archive_lies_about_counts_as_it_is(tmp_path: Path, target: Path) -> None:
    packed = pack(tmp_path / "a", "zip", {"zeros": bytes(30 << 20)})
    # Both headers then claim one byte instead of 30 MiB.
    packed.write_bytes(packed.read_bytes().replace((30 << 20).to_bytes(4, "little"), (1).to_bytes(4, "little")))
    with pytest.raises(DataError, match="is not unpacked: "):
        unpack(packed, archive("zip"), target)
    assert sum(map(len, files(target).values())) <= 1 << 20


def test_an_endless_header_is_refused(tmp_path: Path, target: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.XHDTYPE
    info.size = 1 << 32
    with gzip.open(tmp_path / "a", "wb") as packed:
        packed.write(info.tobuf(tarfile.PAX_FORMAT) + bytes(30 << 20))
    with pytest.raises(DataError, match="grows beyond the size"):
        unpack(tmp_path / "a", archive("tar.gz"), target)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_comes_twice_is_refused(kind: Kind, tmp_path: Path, target: Path) -> None:
    packed = pack(tmp_path / "a", kind, {"x": b"1", "./x": b"2"})
    with pytest.raises(DataError, match="twice"):
        unpack(packed, archive(kind), target)


@pytest.mark.parametrize("kind", KINDS)
def test_broken_archives_and_pages_that_are_none(kind: Kind, tmp_path: Path, target: Path) -> None:
    whole = pack(tmp_path / "a", kind, {"x": bytes(range(256)) * 500}).read_bytes()
    for broken in (whole[:-40], whole[: len(whole) // 2], b"<html>Sign in</html>", b""):
        (tmp_path / "b").write_bytes(broken)
        with pytest.raises(DataError, match="is not unpacked: ") as caught:
            unpack(tmp_path / "b", archive(kind), target)
        assert "\n" not in str(caught.value)
        for path in target.iterdir():
            path.unlink()


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_without_what_it_should_hold(kind: Kind, tmp_path: Path, target: Path) -> None:
    packed = pack(tmp_path / "a", kind, {"x": b"1"})
    with pytest.raises(DataError, match="holds none of the files"):
        unpack(packed, archive(kind, keep=["train/*"]), target)
