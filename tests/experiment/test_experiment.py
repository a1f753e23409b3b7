"""Experiments in Python give the same results as the command line."""

import io
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from rich.console import Console

import metadialog as md
from metadialog.errors import ConfigError, DataError, RunError

Command = Callable[..., Any]
TIMES = {"tasks_per_second"}


def metrics(run: md.Run) -> pd.DataFrame:
    frame = run.metrics
    return frame[~frame["name"].isin(TIMES)].drop(columns="time").reset_index(drop=True)


def without_times(path: Path) -> object:
    """Return the content of a file of a run, without times and names of folders."""
    if path.name == "metrics.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [{**line, "time": 0} for line in lines if line["name"] not in TIMES]
    if path.name in ("last", "best"):
        return clear(torch.load(path, weights_only=True))
    if path.name == "cost.json":
        return clear(json.loads(path.read_text()))
    if path.name == "status.json":
        return {**json.loads(path.read_text()), "started": "", "ended": "", "command": ""}
    return path.read_text() if path.suffix == ".yaml" else path.read_bytes()


def clear(node: Any) -> Any:  # noqa: ANN401
    """Return a state with tensors as lists, and without measured times and memory."""
    if isinstance(node, Mapping):
        return {k: clear(v) for k, v in node.items() if k not in ("seconds", "peak_bytes", "metrics_position")}
    if isinstance(node, list | tuple):
        return [clear(inner) for inner in node]
    return node.tolist() if isinstance(node, torch.Tensor) else node


def test_its_directory_is_that_of_the_command(run: Command, options: list[str]) -> None:
    typed = [*options, "hydra.run.dir=here"]
    commanded = Path(run("train", *typed).run_directory)
    kept = commanded.rename(commanded.with_name("commanded"))
    made = md.compose("train", typed).run()
    assert made.path == commanded
    names = {path.relative_to(kept) for path in kept.rglob("*") if path.is_file()}
    assert {path.relative_to(made.path) for path in made.path.rglob("*") if path.is_file()} == names
    for name in names:
        assert without_times(made.path / name) == without_times(kept / name), name


def test_a_run_is_what_its_directory_holds(folder: Path, options: list[str]) -> None:
    made = md.compose("train", options).run("here")
    assert made.path == folder / "here"
    (folder / "there").mkdir()
    moved = Path(shutil.move(made.path, folder / "there" / "moved"))
    run = md.load(moved)
    assert run.status["status"] == "finished"
    assert run.config["evaluation"]["shots"] == [1]
    assert set(run.records["inner_step"]) == {0, 1}
    measured = run.metrics.query("split == 'meta_validation' and name == 'loss_after'")["value"]
    assert run.validation_loss == measured.min()
    assert run.loss == pytest.approx(run.records.query("inner_step == 1")["loss"].mean())
    assert {"context", "reference", "before", "after"} <= set(run.samples)
    assert run.cost["meta_train"]["steps"] == 2
    assert isinstance(str(run.model.reply(["hello"])), str)
    axes = run.plot_adaptation()
    [line] = axes.get_lines()
    assert np.array_equal(line.get_xdata(), [0, 1])
    assert run.plot_adaptation(axes) is axes
    again = run.evaluate(["evaluation.report_steps=[1]"])
    pd.testing.assert_series_equal(again.records["loss"], run.records["loss"])
    assert again.config["run"] == str(moved)


def test_what_is_no_run_is_refused(folder: Path) -> None:
    with pytest.raises(RunError, match="no such directory"):
        md.load("nowhere")
    with pytest.raises(RunError, match=r"status\.json"):
        md.load(folder)


def test_a_comparison_is_the_table_of_the_command(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    runs = [md.compose("train", [*options, f"algorithm={name}"]).run(name) for name in ("maml", "finetune")]
    table = md.compare(runs, metrics=["word_perplexity"], shots=[1], overrides=["resamples=100"])
    assert list(table["algorithm"]) == ["maml", "finetune"] * 2
    assert list(table["inner_step"]) == [0, 0, 1, 1]
    assert (table["low"] <= table["mean"]).all()
    with pytest.raises(ConfigError, match="metrics: blue: no such metric"):
        md.compare(runs, metrics=["blue"])


def test_it_is_checked_as_on_the_command_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"algorithm.inner_lr=-1"):
        md.compose("train", ["algorithm.inner_lr=-1"])
    with pytest.raises(ConfigError, match="algorithm=mamll: no such choice; did you mean maml"):
        md.compose("train", ["algorithm=mamll"])
    with pytest.raises(ConfigError, match="several values are a sweep"):
        md.compose("train", ["seed=0,1"])
    with pytest.raises(DataError, match="there is no such file"):
        md.compose("train", ["dataset=jsonl", "dataset.path=nothing.jsonl"])
    with pytest.raises(ConfigError, match="no such experiment; valid: train, evaluate"):
        md.compose("tabel")  # type: ignore[arg-type]
    assert not any(folder.iterdir())


def test_nothing_is_left_in_the_process(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    before = torch.get_num_threads(), torch.get_rng_state(), signal.getsignal(signal.SIGTERM), dict(os.environ)
    md.compose("train", [*options, "threads=2"]).run()
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert signal.getsignal(signal.SIGTERM) is before[2]
    assert dict(os.environ) == before[3]
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized()


def test_each_run_has_a_directory_of_its_own(folder: Path, options: list[str]) -> None:
    experiment = md.compose("train", options)
    first, second = experiment.run(), experiment.run()
    assert first.path != second.path
    assert first.path.is_relative_to(folder / "outputs" / "train")
    pd.testing.assert_frame_equal(metrics(first), metrics(second))
    pd.testing.assert_frame_equal(first.records, second.records)


def test_threads_run_one_after_another_with_the_same_numbers(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    alone = md.compose("train", options).run("alone")
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            md.compose("train", options).run(name)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for name in ("one", "two"):
        pd.testing.assert_frame_equal(md.load(name).records, alone.records)


def test_a_run_that_is_there_is_taken_as_it_is(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    typed = [*options, "hydra.run.dir=here"]
    first = md.compose("train", typed).run()
    written = (first.path / "adaptation.parquet").stat().st_mtime_ns
    again = md.compose("train", typed).run()
    assert (again.path / "adaptation.parquet").stat().st_mtime_ns == written
    with pytest.raises(RunError, match="here: already holds another run: seed is 1 but was 0; name another directory"):
        md.compose("train", [*typed, "seed=1"]).run()
    with pytest.raises(RunError, match="holds a run already"):
        md.compose("train", typed).run(existing="refuse")


class Stopping(Console):
    """Raises KeyboardInterrupt when the first outer step is reported."""

    def print(self, *objects: Any, **options: Any) -> None:
        if str(objects[0]).startswith("training 1/"):
            raise KeyboardInterrupt
        super().print(*objects, **options)


def test_a_run_that_broke_off_goes_on(folder: Path, options: list[str]) -> None:  # noqa: ARG001
    whole = md.compose("train", options).run("whole")
    experiment = md.compose("train", options)
    with pytest.raises(KeyboardInterrupt):
        experiment.run("broken", console=Stopping(file=io.StringIO()))
    assert md.load("broken").status["status"] == "failed"
    continued = experiment.run("broken")
    assert continued.status["status"] == "finished"
    pd.testing.assert_frame_equal(continued.records, whole.records)
    pd.testing.assert_frame_equal(metrics(continued), metrics(whole))
    explicit = md.compose("train", [f"resume={continued.path}", "training.steps=3"]).run()
    assert explicit.path == continued.path
    assert explicit.metrics["step"].max() == 3
