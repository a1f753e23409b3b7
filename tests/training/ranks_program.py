"""Trains a small model in several processes, for `test_distributed.py`: imports once, then forks for each rank.

The arguments are a folder and, as JSON, a list of `[name, ranks, algorithm, options, meta_batch, fault]`; `name.pt` is
written for each. The fault `nan POLICY TOPIC` makes the gradients of a topic's tasks NaN.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metadialog.algorithms.base import Algorithm, OuterStep, Tools
from metadialog.config import build
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Episode
from metadialog.errors import MetadialogError
from metadialog.loggers.base import LoggedRun
from metadialog.loggers.local import LocalLogger
from metadialog.models.rnn import DialogModel
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import ScalarsFile
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.schedules.outer import constant
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.training.distributed import ALONE, Ranks, join
from metadialog.training.launch import RankInfo
from metadialog.training.options import TrainingOptions
from metadialog.training.trainer import Outer, Sinks, Trainer

CPU = torch.device("cpu")
TOPICS = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics


def sampler(*topics: str) -> EpisodeSampler:
    return EpisodeSampler(
        {topic: TOPICS[topic] for topic in topics},
        CharacterTokenizer(vocab_size=261).train([]),
        0,
        shots=2,
        queries=2,
        context_turns=1,
        max_tokens=10,
        loss_on="all",
        topic_weighting="uniform",
        temperature=1.0,
    )


def poison(learner: Algorithm, topic: str) -> None:
    """Make the gradients of a topic's tasks NaN."""
    compute = learner.outer_step

    def outer_step(model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        result = compute(model, episodes, step)
        if any(topic in (one.topic, "all") for one in episodes):
            next(model.parameters()).grad = torch.full_like(next(model.parameters()), torch.nan)
        return result

    learner.outer_step = outer_step  # type: ignore[method-assign]


def trainer(folder: Path, team: Ranks, job: list[Any]) -> Trainer:
    name, _, algorithm, options, meta_batch, fault = job
    policy: Any = "stop"
    topic = None
    if fault and fault.startswith("nan"):
        _, policy, topic = fault.split()
    folder = folder / name
    torch.manual_seed(0)
    model = DialogModel(
        261, cell="gru", embedding_size=4, hidden_size=6, layers=2, dropout=0.3, tied_embedding=False
    ).double()
    engine = Learn2LearnEngine() if algorithm.startswith("meta_") else VectorizedEngine()
    learner = build({"_target_": f"metadialog.algorithms.{algorithm}", "name": "x", **options}, Tools(engine))
    learner.prepare(model)
    learner.learned.double()
    if topic is not None:
        poison(learner, topic)
    optimizer = torch.optim.Adam([*model.parameters(), *learner.learned.parameters()], lr=0.05)
    scalars = ScalarsFile(folder / "metrics.jsonl" if team.is_first else Path(os.devnull))
    run = RunDirectory(folder)
    return Trainer(
        model,
        learner,
        Outer(optimizer, constant(optimizer, 3, warmup_steps=0)),
        sampler("ai", "food", "humor", "trivia"),
        sampler("emotion").batch(3),
        Sinks(run, scalars, LocalLogger(LoggedRun(folder, {}, "x"))),
        team,
        TrainingOptions(steps=3, meta_batch=meta_batch, clip_norm=0.1, validate_every=2, nan=policy),
    )


def train(folder: Path, team: Ranks, job: list[Any]) -> None:
    name, *_, fault = job
    with team.connected(CPU):
        made = trainer(folder, team, job)
        if fault == "keeper" and team.rank == 2:
            time.sleep(3600)  # long enough to be terminated
        if fault in ("keeper", "dies", "fails") and team.rank == (0 if fault == "keeper" else 1):
            if fault == "dies":
                os._exit(9)
            raise MetadialogError(f"rank {team.rank} has a reason")
        made.run(lambda *_, **__: None)
        if team.is_first:
            learned = {f"learned.{key}": value for key, value in made.algorithm.learned.state_dict().items()}
            torch.save(
                {**made.model.state_dict(), **learned, "tokens": torch.tensor(made.cost.tokens)}, folder / f"{name}.pt"
            )


def rank(folder: Path, here: RankInfo, port: int, job: list[Any]) -> int:
    """Run one rank; return the exit code, and print the reason if it is this rank's own failure."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    team = join(here)
    try:
        train(folder, team, job)
    except MetadialogError as error:
        with team.failing() as is_first_to_fail:
            if is_first_to_fail:
                print(error, flush=True)
        return 2
    return 0


def ended(children: list[int], *, as_one: bool) -> list[int]:
    """Return the exit codes; if requested, terminate all processes after the first failure, as `torchrun` does."""
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        child, status = os.waitpid(-1, 0)
        codes[child] = os.waitstatus_to_exitcode(status)
        for other in children if as_one and codes[child] else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGTERM)
    return [codes[child] for child in children]


def main() -> None:
    torch.set_num_threads(1)  # the threads of a pool do not exist in a fork, which would wait for them forever
    folder, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
    for number, job in enumerate(jobs):
        if job[1] == 1:  # imported before forking, like everything that torch imports late
            train(folder, ALONE, job)
            continue
        children = []
        for here in (RankInfo(r, job[1], r) for r in range(job[1])):
            child = os.fork()
            if child == 0:
                os._exit(rank(folder, here, int(sys.argv[3]) + number, job))
            children.append(child)
        began = time.monotonic()
        codes = ended(children, as_one=job[-1] == "keeper")
        print(json.dumps([job[0], codes, time.monotonic() - began]), flush=True)


if __name__ == "__main__":
    main()
