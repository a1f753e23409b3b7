"""Adaptation of and chat with the real SmolLM2 from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metadialog.benchmark.talking_parts import SMOLLM2_OPTIONS, untrained

HIRE = Path(__file__).parents[2] / "examples" / "dialogues" / "bicycle_hire_en.jsonl"
QUESTION = "What is the capital of France?"


def metadialog(*arguments: str, typed: str = "") -> tuple[str, int]:
    """Run a command; return its output, and its peak memory in bytes."""
    command = [sys.executable, "-m", "metadialog", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed)
        process.stdin.close()
        written = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return written, usage.ru_maxrss * 1024


@pytest.mark.slow
def test_smollm2_is_adapted_within_its_memory_and_talked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    own = [option for option in SMOLLM2_OPTIONS if not option.startswith("model.system")]  # best answers without it
    untrained([*own, "generation.max_tokens=12"], []).save("base")
    said, _ = metadialog("chat", "run=base", typed=f"{QUESTION}\n/before\n")
    assert said.count("Paris") == 2
    Path("mine.jsonl").write_text("".join(HIRE.read_text("utf-8").splitlines(keepends=True)[:4]), "utf-8")
    told, peak = metadialog("adapt", "run=base", "dialogues=mine.jsonl", "output=mine", "steps=2", "device=cpu")
    assert "adapting to 3 dialogues; 1 held out" in told
    assert peak < 2.5e9
    report = json.loads(Path("mine/config.json").read_text("utf-8"))["about"]["adapted_to"]
    assert report["loss_after"] < report["loss_before"]
    assert "base_model: low_rank_finetune" in Path("mine/README.md").read_text("utf-8")
    assert sum(file.stat().st_size for file in Path("mine").iterdir()) < 20e6
    reply, _ = metadialog("generate", "run=mine", "scores=true", typed=json.dumps({"context": [QUESTION]}))
    assert json.loads(reply)["score"] < 0
