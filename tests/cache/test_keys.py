from pathlib import Path

import pytest

from metadialog import datasets
from metadialog.cache.keys import digest_code, digest_files, key
from metadialog.errors import DataError


def test_a_key_is_that_of_its_parts_whatever_their_order() -> None:
    assert key(a=1, b={"x": None, "y": [2]}) == key(b={"y": [2], "x": None}, a=1)
    different = [key(), key(a=1), key(a="1"), key(a=[1]), key(b=1), key(a=1, b=1), key(a={"b": 1})]
    assert len(set(different)) == len(different)


def test_the_content_and_the_names_of_files_count(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "x").write_text("1")
    (tmp_path / "a" / ".git").mkdir()
    (tmp_path / "a" / ".git" / "y").write_text("2")
    before = digest_files([tmp_path / "a"])
    assert list(before) == [str(tmp_path / "a" / "deep" / "x")]
    assert digest_files([tmp_path / "a" / "deep" / "x"]) == before
    (tmp_path / "a" / "deep" / "x").write_text("2")
    assert digest_files([tmp_path / "a"]) != before
    (tmp_path / "a" / "deep" / "x").rename(tmp_path / "a" / "deep" / "z")
    assert list(digest_files([tmp_path / "a"])) == [str(tmp_path / "a" / "deep" / "z")]
    assert digest_files([tmp_path / "gone"]) == {}


def test_what_a_folder_links_to_counts_as_well(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "itself").symlink_to(tmp_path / "root")
    before = digest_files([tmp_path / "root"])
    assert list(before) == [str(tmp_path / "root" / "train" / "x")]
    (tmp_path / "elsewhere" / "x").write_text("2")
    assert digest_files([tmp_path / "root"]) != before


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("")
    real = Path.open

    def refuse(self: Path, mode: str = "r") -> object:
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))  # root, as in a container, can read all files
        return real(self, mode)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=rf"^{path}: cannot be read: Permission denied$"):
        digest_files([path])


def test_the_code_of_a_module_and_of_all_modules_of_a_package_counts() -> None:
    digests = digest_code([datasets, "metadialog.text"])
    names = {"metadialog.datasets/jsonl.py", "metadialog.datasets/corpus.py", "metadialog.text", "python", "unicode"}
    assert names <= set(digests)
    assert digests["metadialog.text"] != digests["metadialog.datasets/jsonl.py"]
