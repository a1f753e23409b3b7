"""Random sequences of operations on run directories: no finished result is lost, and none is invented.

Runs are started, killed, resumed, partly copied, moved, damaged, evaluated, compared and listed, as hypothesis
chooses. To simulate kills, the directory is copied each time before something is written, moved or removed: a process
that is killed at that moment would leave the same files.
"""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.errors import MetadialogError
from metadialog.experiment.compare import compare

Command = Callable[..., Any]
Moment = Callable[[], None]

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0")) / 10
STEPS = 3
TINY = ("debug=smoke", "logger=local", "evaluation.shots=[1]", "sampler.shots=1")
MULTIRUN = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "sweep" / "multirun.yaml"
# Files whose changes cannot be detected.
TRUSTED = ("config.yaml", "metrics.jsonl", "status.json", "cost.json", "trial.json", ".hydra")


class Killed(BaseException):
    """A simulated kill. The program does not catch it; what clean-up code does to the directory is not looked at."""


class Disk:
    """Calls a function before each change that this process makes below a directory."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self.moment: Moment = lambda: None
        sys.addaudithook(self._heard)  # an audit hook cannot be removed

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.directory is None or event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate"):
            return
        if event == "open" and not int(arguments[2]) & (os.O_WRONLY | os.O_RDWR):
            return
        with contextlib.suppress(TypeError):  # a file by its descriptor
            if Path(os.fsdecode(arguments[0])).absolute().is_relative_to(self.directory):
                self.moment()

    @contextlib.contextmanager
    def watched(self, directory: Path, moment: Moment) -> Iterator[None]:
        def once() -> None:  # changes by the function itself are ignored
            watched, self.directory = self.directory, None
            moment()
            self.directory = watched

        self.directory, self.moment = directory, once
        try:
            yield
        finally:
            self.directory = None


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


@dataclass(frozen=True)
class Directory:
    """A run directory and its history.

    Attributes:
        path: its path.
        finished: whether the run has finished.
        steps: requested number of outer steps.
        damaged: files that were changed, or that a copy lacks.
    """

    path: Path
    finished: bool
    steps: int = STEPS
    damaged: tuple[str, ...] = ()

    def may_differ(self) -> bool:
        """Whether its results may be wrong in a way that cannot be detected."""
        return any(name.startswith(TRUSTED) for name in self.damaged)


def results(directory: Path) -> dict[str, object]:
    """Return the results of a run, without times and durations."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {
        "metrics": [(m["step"], m["split"], m["name"], m["value"]) for m in lines if "per_second" not in m["name"]],
        "losses": [value.hex() for value in pd.read_parquet(directory / "adaptation.parquet")["loss"]],
        "samples": (directory / "samples.jsonl").read_bytes(),
        "model": (directory / "model" / "model.safetensors").read_bytes(),
        "status": json.loads((directory / "status.json").read_text())["status"],
        "files": sorted(name for name in contents(directory) if name != ".lock"),
    }


def contents(directory: Path) -> dict[str, str]:
    """Return the checksum of each file."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): sha256(path.read_bytes()).hexdigest() for path in paths}


@dataclass(frozen=True)
class Reference:
    """Reference directories: those of finished runs by number of steps, and those of a run killed at each moment."""

    whole: dict[int, Path]
    results: dict[int, dict[str, object]]
    moments: list[Path]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few real dialogues of several topics."""
    path = tmp_path / "few.jsonl"
    by_topic: dict[str, list[str]] = {}
    for one in ChatterbotDataset(language="english").dialogues():
        turns = [{"speaker": turn.speaker, "text": turn.text} for turn in one.turns]
        by_topic.setdefault(one.topic, []).append(json.dumps({"topic": one.topic, "turns": turns}))
    topics = [lines for lines in by_topic.values() if len(lines) >= 10][:4]
    path.write_text("".join(f"{line}\n" for lines in topics for line in lines[:10]))
    return path


@pytest.fixture
def reference(run: Command, tmp_path: Path, data: Path, disk: Disk) -> Reference:
    folder = tmp_path / "reference"
    moments: dict[str, Path] = {}
    directory = folder / "run"

    def keep() -> None:
        said = json.dumps(contents(directory))
        if directory.exists() and said not in moments:
            moments[said] = Path(shutil.copytree(directory, folder / f"moment-{len(moments)}"))

    with disk.watched(directory, keep):
        whole = _train(run, data, directory)
    assert whole.code == 0, whole.err
    directories = {STEPS: directory}
    if SECONDS:
        longer = Path(shutil.copytree(directory, folder / "longer"))
        assert run("train", f"resume={longer}", f"training.steps={STEPS + 1}").code == 0
        directories[STEPS + 1] = longer
    return Reference(directories, {steps: results(path) for steps, path in directories.items()}, [*moments.values()])


def _train(run: Command, data: Path, directory: Path, *overrides: str) -> Any:  # noqa: ANN401
    sizes = (f"dataset.path={data}", f"training.steps={STEPS}", f"hydra.run.dir={directory}")
    return run("train", "dataset=jsonl", *TINY, *sizes, *overrides)


def _check_one_line(outcome: Any) -> None:  # noqa: ANN401
    assert outcome.code == 2, outcome.err
    lines = outcome.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("metadialog "), outcome.err  # noqa: PT018


class Directories(RuleBasedStateMachine):
    """The state machine: run directories below one folder, and the operations on them."""

    run: ClassVar[Command]
    disk: ClassVar[Disk]
    reference: ClassVar[Reference]
    data: ClassVar[Path]
    folder: ClassVar[Path]
    count: ClassVar[int] = 0

    directories = Bundle("directories")
    moments = st.integers(0, 10_000)

    def _new(self) -> Path:
        type(self).count += 1
        return self.folder / str(self.count)

    @initialize(target=directories)
    def finished(self) -> Directory:
        return Directory(Path(shutil.copytree(self.reference.whole[STEPS], self._new())), finished=True)

    @rule(target=directories, moment=moments)
    def killed(self, moment: int) -> Directory:
        moments = self.reference.moments
        return Directory(Path(shutil.copytree(moments[moment % len(moments)], self._new())), finished=False)

    @rule(target=directories, one=consumes(directories))
    def moved(self, one: Directory) -> Directory:
        return replace(one, path=Path(shutil.move(one.path, self._new())))

    @rule(target=directories, one=directories, files=st.integers(1, 15))
    def half_copied(self, one: Directory, files: int) -> Directory:
        """Copy some files completely, half of the next one, and no others."""
        path, names = self._new(), [*contents(one.path)]
        for name in names[: files + 1]:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one.path / name, path / name)
        for name in names[files : files + 1]:
            os.truncate(path / name, (path / name).stat().st_size // 2)
        return replace(one, path=path, damaged=(*one.damaged, *names[files:]))

    @rule(
        target=directories,
        one=consumes(directories),
        file=st.integers(0, 30),
        how=st.sampled_from(("cut", "flip", "remove", "empty")),
        place=st.floats(0, 1),
    )
    def damaged(self, one: Directory, file: int, how: str, place: float) -> Directory:
        names = [name for name, digest in contents(one.path).items() if digest != sha256(b"").hexdigest()]
        if not names:
            return one
        name = names[file % len(names)]
        content = bytearray((one.path / name).read_bytes())
        at = int(place * (len(content) - 1))
        if how == "remove":
            (one.path / name).unlink()
        else:
            content[at] ^= 1
            (one.path / name).write_bytes(content if how == "flip" else content[:at] if how == "cut" else b"")
        return replace(one, damaged=(*one.damaged, name))

    @rule(target=directories, one=consumes(directories), longer=st.booleans())
    def resumed(self, one: Directory, longer: bool) -> Directory:
        """Resume a run, or start it if it says that there is nothing to resume."""
        before, steps = contents(one.path), one.steps
        if longer and STEPS + 1 in self.reference.results:
            steps = STEPS + 1
        outcome = self.run("train", f"resume={one.path}", f"training.steps={steps}")
        if outcome.code:
            self._check_refusal(one, outcome, before)
            if one.damaged or "start it again" not in outcome.err:
                assert one.damaged, outcome.err
                return one
            outcome = _train(self.run, self.data, one.path, f"training.steps={steps}")
        assert outcome.code == 0, outcome.err
        if not one.may_differ():
            assert results(one.path) == self.reference.results[steps], one
        return replace(one, finished=True, steps=steps)

    @rule(target=directories, one=consumes(directories), moment=moments)
    def killed_as_it_goes_on(self, one: Directory, moment: int) -> Directory:
        """Resume a run, and kill it at some moment unless it has ended before."""
        heard, left = 0, self._new()

        def kill() -> None:
            nonlocal heard
            heard += 1
            if heard == moment % 60 + 1:
                shutil.copytree(one.path, left)
                raise Killed

        with self.disk.watched(one.path, kill), contextlib.suppress(Killed):
            self.run("train", f"resume={one.path}")
        if not left.exists():
            return replace(one, finished=one.finished or (not one.damaged and (one.path / "cost.json").exists()))
        shutil.rmtree(one.path)
        left.rename(one.path)
        return one

    @rule(one=directories)
    def evaluated(self, one: Directory) -> None:
        before, output = contents(one.path), self._new()
        outcome = self.run("evaluate", f"run={one.path}", f"hydra.run.dir={output}")
        assert contents(one.path) == before
        if outcome.code:
            self._check_refusal(one, outcome, before)
            assert one.damaged or not one.finished, outcome.err
            assert not output.exists()
        elif not one.may_differ():
            losses = [value.hex() for value in pd.read_parquet(output / "adaptation.parquet")["loss"]]
            assert losses == self.reference.results[one.steps]["losses"]

    @rule(one=directories)
    def compared(self, one: Directory) -> None:
        """Compare it as `metadialog table` does, without figures, which would take seconds."""
        before = contents(one.path)
        refused = None
        try:
            compare([one.path], overrides=["resamples=100"])
        except MetadialogError as error:
            refused = str(error)
        assert refused is None or one.damaged or not one.finished, refused
        assert "\n" not in (refused or "")
        assert contents(one.path) == before

    @rule(one=directories, other=directories)
    def listed(self, one: Directory, other: Directory) -> None:
        """List them as the runs of a sweep; a run that has not yet written its settings is none of them."""
        sweep = self._new()
        sweep.mkdir()
        shutil.copy(MULTIRUN, sweep)
        runs = {"0": one, "1": other}
        for name, run in runs.items():
            shutil.copytree(run.path, sweep / name)
        before = contents(sweep)
        outcome = self.run("sweeps", "list", str(sweep))
        assert contents(sweep) == before
        if outcome.code:
            _check_one_line(outcome)
            assert one.damaged or other.damaged, outcome.err
            return
        rows = [line.split("\t") for line in outcome.out.splitlines() if "\t" in line]
        states = {row[0]: row[1] for row in rows[1:]}
        assert set(states) == {name for name in runs if (sweep / name / ".hydra").is_dir()}
        assert all(states[name] == "finished" for name, run in runs.items() if run.finished and not run.damaged)

    def _check_refusal(self, one: Directory, outcome: Any, before: dict[str, str]) -> None:  # noqa: ANN401
        """Check that a refusal is one line, and that the run has not changed."""
        _check_one_line(outcome)
        after = contents(one.path)
        if not one.finished:  # its status may be set to failed
            before, after = ({n: d for n, d in of.items() if n != "status.json"} for of in (before, after))
        assert after == before, outcome.err

    def teardown(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path)


@pytest.fixture
def directories(
    run: Command, reference: Reference, disk: Disk, data: Path, tmp_path: Path
) -> Iterator[type[Directories]]:
    """The state machine, with its reference directories."""
    folder = tmp_path / "directories"
    folder.mkdir()

    class Here(Directories):
        count = 0

    Here.run, Here.disk, Here.reference, Here.data, Here.folder = staticmethod(run), disk, reference, data, folder
    yield Here
    assert Here.count > 0


@pytest.mark.skipif(bool(SECONDS), reason="`make fuzz` chooses what happens itself")
def test_nothing_is_lost_and_nothing_made_up_in_some_steps(directories: type[Directories]) -> None:
    made: Any = directories()
    whole = made.finished()
    cut = made.killed(len(made.reference.moments) * 2 // 3)
    cut = made.killed_as_it_goes_on(cut, 20)
    cut = made.resumed(made.moved(cut), longer=False)
    assert cut.finished
    copied = made.half_copied(whole, 8)
    made.evaluated(copied)
    made.resumed(made.damaged(copied, file=3, how="flip", place=0.5), longer=False)
    made.compared(cut)
    made.listed(whole, cut)
    made.listed(made.killed(0), copied)
    made.evaluated(whole)
    made.teardown()


@pytest.mark.skipif(not SECONDS, reason="takes the time that FUZZ_SECONDS gives it")
def test_nothing_is_lost_and_nothing_made_up(directories: type[Directories], capfd: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + SECONDS
    every = list(HealthCheck)
    quiet = settings(max_examples=3, stateful_step_count=12, deadline=None, suppress_health_check=every, database=None)
    while True:
        run_machine(directories, settings=quiet)
        if time.monotonic() > until:
            break
    with capfd.disabled():
        print(f"\nstates of run directories: {directories.count}", end=" ")  # noqa: T201
