import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Protocol

import pytest
from rich.console import Console

from metadialog.datasets.cleaning import Cleaning
from metadialog.downloads.copies import downloaded
from metadialog.downloads.download import download
from metadialog.downloads.fetch import Patience
from metadialog.downloads.sources import RemoteFile, Source, sources
from metadialog.errors import ConfigError, DataError

LOADER = """
from metadialog.datasets.jsonl import JsonlDataset

class LocalCopy:
    name = source = "published"
    language = "en"
    paper_split = None

    def __init__(self, *, root: str | None, near_duplicates: float | None) -> None:
        self._root = root

    def dialogues(self):
        path = f"{self._root}/dialogues.jsonl"
        options = {"language": "en"} if "language" in JsonlDataset.__init__.__annotations__ else {}
        return JsonlDataset(path=path, **options).dialogues()
"""


class Publisher(Protocol):
    files: dict[str, bytes]
    cut: list[int]
    requests: list[str]

    def url(self, path: str) -> str: ...


class Outcome(Protocol):
    code: int
    out: str
    err: str


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(f"top/{name}.jsonl", content)
    return buffer.getvalue()


def dialogues() -> bytes:
    lines = [
        json.dumps({"topic": f"topic {number % 4}", "turns": [f"Question {number}?", f"Answer {number}."]})
        for number in range(80)
    ]
    return "\n".join(lines).encode()


@pytest.fixture
def source(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A data set of an archive and a plain file, published on the loopback interface."""
    publisher.files |= {"data.zip": zipped(dialogues=dialogues()), "readme.txt": b"Read me."}
    sha256 = hashlib.sha256(publisher.files["data.zip"]).hexdigest()
    published = Source(
        title="A data set",
        page="http://publisher.example",
        licence="CC BY-SA 4.0",
        citation="Somebody (2020): Something.",
        files=(
            RemoteFile(url=publisher.url("data.zip"), archive="zip", strip=1, sha256=sha256),
            RemoteFile(url=publisher.url("readme.txt"), into="docs"),
        ),
    )
    monkeypatch.setitem(sources(), "published", published)
    return published


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.usefixtures("source")
def test_everything_is_put_in_place_with_its_licence_and_a_record(
    publisher: Publisher, tmp_path: Path, console: Console, impatient: Patience
) -> None:
    with pytest.raises(DataError, match=r"there is no downloaded copy in .*; run metadialog data dataset=published "):
        downloaded("published", tmp_path)
    root = download("published", tmp_path, console, impatient)
    assert downloaded("published", tmp_path) == root == tmp_path / "downloads" / "published" / "files"
    assert (root / "dialogues.jsonl").read_bytes() == dialogues()
    assert (root / "docs" / "readme.txt").read_bytes() == b"Read me."
    about = (root.parent / "about.txt").read_text()
    assert "CC BY-SA 4.0" in about
    assert "Somebody (2020)" in about
    out = shown(console)
    assert out.index("CC BY-SA 4.0") < out.index("data.zip  ")  # before the progress bar
    record = json.loads((root.parent / "download.json").read_text())
    assert [file["sha256"] for file in record["files"]] == [
        hashlib.sha256(publisher.files[name]).hexdigest() for name in ("data.zip", "readme.txt")
    ]
    assert {path.name for path in (tmp_path / "downloads").iterdir()} == {"published", ".published.lock"}
    publisher.requests.clear()
    assert download("published", tmp_path, console, impatient) == root
    assert publisher.requests == []
    assert "already downloaded" in shown(console)


@pytest.mark.usefixtures("source")
def test_what_an_earlier_attempt_left_is_checked(
    publisher: Publisher, tmp_path: Path, console: Console, impatient: Patience
) -> None:
    readme = publisher.files.pop("readme.txt")
    with pytest.raises(DataError, match=r"readme.txt: the server answered 404"):
        download("published", tmp_path, console, impatient)
    (archive,) = tmp_path.rglob("0-data.zip")
    archive.write_bytes(archive.read_bytes()[:-1])  # as after a power failure
    publisher.files["readme.txt"] = readme
    assert (download("published", tmp_path, console, impatient) / "dialogues.jsonl").read_bytes() == dialogues()


@pytest.mark.usefixtures("source")
def test_a_second_attempt_takes_up_what_the_first_one_brought(
    publisher: Publisher, tmp_path: Path, console: Console, impatient: Patience
) -> None:
    readme = publisher.files.pop("readme.txt")
    with pytest.raises(DataError, match=r"readme.txt: the server answered 404"):
        download("published", tmp_path, console, impatient)
    with pytest.raises(DataError, match="there is no downloaded copy"):
        downloaded("published", tmp_path)
    publisher.files["readme.txt"] = readme
    publisher.requests.clear()
    download("published", tmp_path, console, impatient)
    assert len(publisher.requests) == 1


def test_a_hostile_archive_leaves_nothing_and_is_not_kept(
    source: Source,
    publisher: Publisher,
    tmp_path: Path,
    console: Console,
    impatient: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with zipfile.ZipFile(tmp_path / "hostile.zip", "w") as packed:
        packed.writestr("top/../../evil", "x")
    publisher.files["hostile.zip"] = (tmp_path / "hostile.zip").read_bytes()
    file = RemoteFile(url=publisher.url("hostile.zip"), archive="zip")
    monkeypatch.setitem(sources(), "published", source.model_copy(update={"files": (file,)}))
    cache = tmp_path / "cache"
    with pytest.raises(DataError) as caught:
        download("published", cache, console, impatient)
    assert str(caught.value) == (
        f"{file.url}: is not unpacked: its member 'top/../../evil' would be written outside of the target "
        f"folder; it was not kept"
    )
    assert [path.name for path in cache.rglob("*") if path.is_file()] == [".published.lock"]
    assert not list(tmp_path.rglob("evil"))


def test_an_unknown_source_and_a_place_that_cannot_be_written(
    tmp_path: Path, console: Console, impatient: Patience
) -> None:
    with pytest.raises(ConfigError, match=r"there is no source nothing; sources: .*dailydialog"):
        download("nothing", tmp_path, console, impatient)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written: "):
        download("sgd", tmp_path / "file", console, impatient)


def test_two_processes_at_once_bring_it_once(source: Source, publisher: Publisher, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "from metadialog.downloads import sources; from metadialog.downloads.download import download\n"
        "sources.sources()['published'] = sources.Source.model_validate_json(sys.argv[1])\n"
        "print(download('published', Path(sys.argv[2]), Console(stderr=True)))\n"
    )
    command = [sys.executable, "-c", script, source.model_dump_json(), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == [str(downloaded("published", tmp_path))] * 2
    assert len(publisher.requests) == 2  # one for each file


SHARED = [field.name for field in fields(Cleaning) if field.default is not None]
"""Hydra cannot remove an option that is null, which the loader above has."""


@pytest.mark.usefixtures("source")
def test_the_command_downloads_and_then_root_is_the_copy(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "published_loader.py").write_text(LOADER)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "plugin"), *sys.path])
    monkeypatch.setenv("METADIALOG_CACHE", str(tmp_path / "cache"))
    dataset = (
        "data",
        "dataset._target_=published_loader.LocalCopy",
        "~dataset.language",
        *(f"~dataset.{option}" for option in SHARED),
        "+dataset.root=null",
    )
    before = run(*dataset)
    assert (before.code, before.err.count("\n")) == (2, 1)
    assert "download=true" in before.err
    outcome = run(*dataset, "download=true")
    assert outcome.code == 0, outcome.err
    assert "licence:  CC BY-SA 4.0" in outcome.out
    assert "all (4 topics)" in outcome.out
    again = run(*dataset)
    assert "all (4 topics)" in again.out
    assert "licence" not in again.out
    elsewhere = run(*dataset[:-1], f"+dataset.root={tmp_path}", "download=true")
    assert "leave one of them out" in elsewhere.err
    nothing = run("data", "download=true")
    assert "this data set cannot be downloaded" in nothing.err
