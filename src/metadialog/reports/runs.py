"""Search for run directories, and reading of runs."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from metadialog.errors import RunError
from metadialog.escapes import shortened
from metadialog.moved_names import current_name
from metadialog.runs import layout
from metadialog.runs.config_file import read_config, read_run_config
from metadialog.runs.reading import is_there
from metadialog.runs.records import DrawnEpisode, read_records
from metadialog.runs.schemas import read_costs, read_status
from metadialog.statistics.metrics import METRICS, Metric, own_metrics

Unfinished = Literal["refuse", "skip"]

_EXPERIMENTS = ("metadialog.experiment.config.TrainConfig", "metadialog.experiment.config.EvaluateConfig")
_SHOWN = 3  # directories named in a message


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run of one algorithm with one seed.

    Attributes:
        path: directory of the run.
        config: resolved config, as plain values.
        status: content of `status.json`.
        records: records of the meta-test topics.
        episodes: shots -> dialogues of each episode.
        language: ISO 639 code of the texts.
        signatures: signatures of text metrics.
        cost: content of `cost.json` by phase; None if there is none.
        joined: `status.json` of each run that was joined into this one, with another held-out topic each.
    """

    path: Path
    config: Mapping[str, Any]
    status: Mapping[str, Any]
    records: pd.DataFrame
    episodes: Mapping[int, frozenset[tuple[Any, ...]]]
    language: str
    signatures: Mapping[str, str]
    cost: Mapping[str, Any] | None = field(default=None)
    joined: tuple[Mapping[str, Any], ...] = ()

    @property
    def statuses(self) -> tuple[Mapping[str, Any], ...]:
        """`status.json` of the run, or of each run that was joined into it."""
        return self.joined or (self.status,)

    @property
    def algorithm(self) -> str:
        """The name of its algorithm in the records."""
        return str(self.records["algorithm"].iloc[0])

    @property
    def own_metrics(self) -> list[Metric]:
        """The additional metrics in its config."""
        nodes = (self.config.get("evaluation") or {}).get("metrics") or {}
        return [metric for metric in own_metrics(nodes) if metric.name not in METRICS]

    @property
    def seed(self) -> int:
        """The training seed."""
        return int(self.records["seed"].iloc[0])


def read_runs(paths: Sequence[Path], unfinished: Unfinished) -> tuple[list[Run], list[str]]:
    """Read all runs below some directories.

    Args:
        paths: run directories, multirun trees, or directories of them.
        unfinished: whether to refuse or skip unfinished runs.

    Returns:
        The runs, and a line for each that was skipped.

    Raises:
        RunError: a directory is missing or holds no run, or a run is damaged or unfinished and not skipped.
    """
    directories: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise RunError(f"runs={path}: there is no such directory; give a run directory or a directory of them")
        results = list(_directories(path))
        if not results:
            raise RunError(f"runs={path}: holds no run of metadialog train or evaluate, here or further down")
        directories |= {path.resolve(): path for path in results}
    states = {path: _state(path) for path in directories.values()}
    skipped = [f"{path}: {state}" for path, state in states.items() if state != "finished"]
    if skipped and unfinished == "refuse":
        more = f" (and {len(skipped) - _SHOWN} more)" if len(skipped) > _SHOWN else ""
        raise RunError(f"not finished: {'; '.join(skipped[:_SHOWN])}{more}; unfinished=skip leaves such runs out")
    finished = [path for path, state in states.items() if state == "finished"]
    if not finished:
        raise RunError(f"{', '.join(map(str, paths))}: no run here is finished: {'; '.join(skipped[:_SHOWN])}")
    return [_read(path) for path in finished], skipped


def _directories(root: Path) -> Iterator[Path]:
    """Yield the run directories below a directory, in a natural order; what is inside a run is not searched."""
    for folder, inner, files in os.walk(root, followlinks=False):
        path = Path(folder)
        if layout.STATUS in files or _was_started(path, inner):
            inner.clear()
            yield path
        # In numerical order, 2 before 10, as in sweeps.
        inner.sort(key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)])


def _was_started(path: Path, inner: Sequence[str]) -> bool:
    """Tell whether Hydra started a run here that has not written a status."""
    if layout.HYDRA not in inner or not layout.hydra_config(path).is_file():
        return False
    return current_name(str(read_config(layout.hydra_config(path)).get("_target_"))) in _EXPERIMENTS


def _state(path: Path) -> str:
    file = path / layout.STATUS
    if not is_there(file):
        return "failed before it began"
    status = read_status(file)
    return f"failed ({shortened(status.reason)})" if status.status == "failed" and status.reason else status.status


def _read(path: Path) -> Run:
    file = path / layout.RECORDS
    if not is_there(file):
        raise RunError(f"{file}: there is no such file, where the run should have left its records")
    result = read_records(file)
    cost = path / layout.COST
    return Run(
        path=path,
        config=read_run_config(path / layout.CONFIG, trusted_only=False),
        status=read_status(path / layout.STATUS).model_dump(),
        records=_checked(result.records, file),
        episodes=_fingerprints(result.episodes),
        language=result.language,
        signatures=result.signatures,
        cost=read_costs(cost).model_dump(exclude_unset=True) if is_there(cost) else None,
    )


def _checked(records: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return the records of the meta-test topics, or all records if there are none of these.

    Raises:
        RunError: there are no records, or they have several algorithms or seeds.
    """
    if records.empty:
        raise RunError(f"{file}: holds no record")
    if len(records[["algorithm", "seed", "dataset"]].drop_duplicates()) > 1:
        raise RunError(f"{file}: holds records of several algorithms, data sets or seeds; a run has one of each")
    held_out = records[records["split"] == "meta_test"]
    return (records if held_out.empty else held_out).reset_index(drop=True)


def _fingerprints(drawn: Sequence[DrawnEpisode]) -> dict[int, frozenset[tuple[Any, ...]]]:
    """Return the dialogues of the episodes, for each number of shots."""
    results: dict[int, set[tuple[Any, ...]]] = {}
    for one in drawn:
        results.setdefault(one.shots, set()).add((one.topic, one.episode, tuple(one.support), tuple(one.query)))
    return {shots: frozenset(episodes) for shots, episodes in results.items()}
