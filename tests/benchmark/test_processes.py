"""Failing contenders and an interrupted benchmark print one line and leave no process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread

import pytest
import torch

from metadialog.benchmark.contenders import CONTENDERS, Gradients, Name
from metadialog.benchmark.measure import Benchmark, Lane
from metadialog.benchmark.worker import Prepare, Step, work
from metadialog.benchmark.workload import CONFIGURATIONS, Configuration, Workload
from metadialog.errors import MetadialogError

TINY = Configuration(vocab_size=20, hidden_size=4, tasks=2, batch=2, time=3)


def out_of_memory(work: Workload) -> Gradients:
    if len(work.episodes[0].query.inputs) == 3:
        raise RuntimeError("CUDA out of memory. Tried to allocate 8 GiB.\nand more lines")
    return CONTENDERS["gd"].gradient(work)


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    """A contender that fails on batches of 3, served from a thread."""
    failing = replace(CONTENDERS["vectorized"], gradient=out_of_memory)
    monkeypatch.setitem(CONTENDERS, "vectorized", failing)
    ours, theirs = Pipe()
    thread = Thread(target=work, args=(theirs, "vectorized", None, "cpu"))
    thread.start()
    yield Lane(failing, ours)
    ours.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_a_contender_that_fails_says_why(lane: Lane) -> None:
    assert len(lane.ask(Prepare(TINY, 1)).probes) > 0
    assert lane.ask(Step()) > 0
    with pytest.raises(MetadialogError) as caught:
        lane.ask(Prepare(replace(TINY, batch=3), 1))
    assert str(caught.value) == (
        "bench.contenders: engine vectorized: CUDA out of memory. Tried to allocate 8 GiB.; leave it out, or measure "
        "smaller bench.configs or fewer bench.inner_steps"
    )
    assert len(lane.ask(Prepare(TINY, 1)).probes) > 0  # smaller cases can still be measured


def test_a_contender_that_is_gone_is_named() -> None:
    ours, theirs = Pipe()
    theirs.close()
    with pytest.raises(MetadialogError, match="engine lean: its process has ended, for lack of memory perhaps"):
        Lane(CONTENDERS["lean"], ours).ask(Step())


def test_contenders_whose_library_is_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENDERS, "peer/higher", replace(CONTENDERS["peer/higher"], needs="no_such_library"))
    benchmark = Benchmark(
        torch.device("cpu"), configs=["small"], inner_steps=[1], tasks=[], hidden_sizes=[],
        contenders=["peer/higher", "lean"], rounds=3, seconds=1.0, threads=1,
    )  # fmt: skip
    assert benchmark.missing() == ["peer/higher"]


def test_the_others_go_on_without_a_contender_that_fails(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(CONFIGURATIONS, "small", replace(TINY, batch=3))
    benchmark = Benchmark(
        torch.device("cpu"), configs=["small"], inner_steps=[2], tasks=[], hidden_sizes=[], contenders=["vectorized"],
        rounds=3, seconds=1.0, threads=1,
    )  # fmt: skip
    # The other contenders run in their own processes; the failing one runs here.
    started = benchmark.lane

    @contextmanager
    def lanes(name: Name) -> Iterator[Lane]:
        if name == "vectorized":
            yield lane
        else:
            with started(name) as other:
                yield other

    monkeypatch.setattr(benchmark, "lane", lanes)
    assert [result.engine for result in benchmark.results()] == ["gd", "learn2learn"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "small, 2 inner steps, without one of bench.contenders: engine vectorized: CUDA out of memory."
    )


def processes_of(group: int) -> list[int]:
    """Return the running processes of a process group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended in the meantime
            continue
        if int(of_group) == group and state != "Z":
            found.append(int(status.parent.name))
    return found


@pytest.mark.slow
def test_an_interrupt_is_one_line(tmp_path: Path) -> None:
    arguments = ["bench", "bench.configs=[small]", "bench.contenders=[lean]", "device=cpu", f"output={tmp_path}/costs"]
    with subprocess.Popen(
        [sys.executable, "-m", "metadialog", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while len(processes_of(process.pid)) < 4 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)  # wait until contenders are started
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "metadialog bench: interrupted\n"
    assert processes_of(process.pid) == []
