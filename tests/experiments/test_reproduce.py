"""Committed tables equal those made from the committed records, byte by byte, and differences are reported."""

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from metadialog.reports import write

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def program() -> ModuleType:
    specification = spec_from_file_location("reproduce", EXPERIMENTS / "reproduce.py")
    assert specification is not None
    assert specification.loader is not None
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("run")
def test_a_table_comes_out_of_its_records(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "saved", lambda *_: b"")  # figures take seconds, and are not compared
    study = Path(shutil.copytree(EXPERIMENTS / "chinese", tmp_path / "chinese"))
    table = study / "results" / "table_kdconv.md"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[0] = "# Another title\n"  # everything else must be the same
    table.write_text("".join(lines), encoding="utf-8")
    [(name, differences)] = program.reproduce(study)
    assert name == table.name
    assert [line[0] for line in differences[2:]] == ["@", "-", "+"]
    assert differences[3] == "-# Another title"
