"""SIGTERM and SIGINT during training, validation or evaluation: the run ends properly and can be resumed exactly."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.faults

Start = Callable[..., Any]
Results = Callable[[Path], dict[str, object]]
Ready = Callable[[Path, Any], bool]
# In each case one phase takes nearly all of the time.
LONG = {
    "training": ("training.meta_batch=16", "training.validate_every=20", "training.steps=20"),
    "validation": ("training.validation_episodes=30", "training.steps=6"),
    "evaluation": ("training.steps=1", "evaluation.episodes_per_topic=5"),
}


def metrics(directory: Path) -> list[dict[str, Any]]:
    path = directory / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def is_training(directory: Path, process: Any) -> bool:  # noqa: ANN401, ARG001
    return any(m["step"] >= 3 for m in metrics(directory))


def is_validating(directory: Path, process: Any) -> bool:  # noqa: ANN401, ARG001
    return any(m["step"] == 3 and m["split"] == "meta_train" for m in metrics(directory))


def is_evaluating(directory: Path, process: Any) -> bool:  # noqa: ANN401, ARG001
    return "evaluation 5" in process.said()


PHASES: dict[str, Ready] = {"training": is_training, "validation": is_validating, "evaluation": is_evaluating}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_the_run_in_order(
    start: Start,
    tiny: tuple[str, ...],
    read_results: Results,
    read_wandb: Callable[[Path], Any],
    phase: str,
    number: signal.Signals,
) -> None:
    folder: Path = start.folder  # type: ignore[attr-defined]
    whole, directory = folder / f"{phase}-whole", folder / f"{phase}-{number.name}"
    options = (*tiny, *LONG[phase])
    if not whole.exists():
        process = start("train", *options, f"hydra.run.dir={whole}")
        assert process.wait() == 0, process.said()
    process = start("train", *options, f"hydra.run.dir={directory}", "logger=wandb", "logger.mode=offline")
    while not PHASES[phase](directory, process):
        assert process.is_alive(), process.said()
        time.sleep(0.01)
    process.kill(number)
    sent = time.monotonic()
    code = process.wait()
    print(f"{number.name} during {phase}: {time.monotonic() - sent:.1f} s")  # noqa: T201
    assert code == {signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    assert process.said().endswith(
        {signal.SIGTERM: "metadialog train: terminated\n", signal.SIGINT: "metadialog train: interrupted\n"}[number]
    )
    assert json.loads((directory / "status.json").read_text())["status"] == "failed"
    assert read_wandb(directory).exit_code == 1
    reached = max(m["step"] for m in metrics(directory))
    process = start("train", f"resume={directory}", "logger=local")
    assert process.wait() == 0, process.said()
    if phase != "evaluation":
        # The first progress line is of the next step: nothing is computed twice.
        assert f"training {reached + 1}/" in process.said() or phase == "training"
    expected, found = read_results(whole), read_results(directory)
    for key in ("metrics", "losses", "samples", "model", "status"):
        assert found[key] == expected[key], key
