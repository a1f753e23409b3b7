"""The first run of `make run`, shortened."""

import importlib.util
from pathlib import Path

import pytest

import metadialog

PROGRAM = Path(__file__).parents[2] / "examples" / "first_run" / "first_run.py"
SHORT = ("evaluation.steps=1", "evaluation.report_steps=[0,1]", "model.hidden_size=16")


def test_it_trains_compares_adapts_and_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("first_run", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setitem(program.STEPS, "zh", (1, 1))
    monkeypatch.setattr(program, "SHARED", [*program.SHARED, *SHORT])
    monkeypatch.setattr(program, "ADAPTATION_STEPS", 2)
    monkeypatch.chdir(tmp_path)
    program.main(["--language", "zh", "--output", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert "metadialog train start=joint" in shown
    for row in ("maml", "finetune", "scratch"):
        assert f"│ {row} " in shown
    assert "你好，租一辆自行车多少钱" in shown
    assert max(len(line) for line in shown.splitlines() if line.startswith(("│", "┃"))) <= 80
    adapted = metadialog.load_model(tmp_path / "out" / "bicycle_hire")
    assert isinstance(adapted.reply("你好"), str)
    assert f"metadialog chat run={tmp_path / 'out' / 'bicycle_hire'}" in shown
