"""Training episodes drawn by learn2learn's task sets."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from metadialog.datasets.dialogue import Dialogue
from metadialog.learn2learn_interface import TaskDraw
from metadialog.samplers.base import Sampler
from metadialog.tokenizers.tokenizer import Tokenizer


class TasksetSampler(Sampler):
    """Draws tasks of one class and `shots + queries` of its examples: a topic and its dialogues.

    The draw is that of `learn2learn.data.Taskset` with `NWays`, `KShots` and `LoadData`: topics uniformly, dialogues
    without replacement. It is the same on every platform with the same versions of Python and learn2learn.

    It takes hundreds of bytes for each dialogue, and a list of the whole topic for each task. For millions of dialogues
    use `EpisodeSampler`, which draws in the same way.
    """

    def __init__(
        self,
        topics: Mapping[str, Sequence[Dialogue]],
        tokenizer: Tokenizer,
        seed: int,
        **options: Any,
    ) -> None:
        """Initialise the sampler with the meta-train topics; see `conf/sampler/taskset.yaml` for the options.

        Raises:
            DataError: a topic has fewer than `shots + queries` dialogues; the message names it.
        """
        super().__init__(topics, tokenizer, seed, **options)
        self._names = list(self.topics)
        positions = DialoguePositions([len(dialogues) for dialogues in self.topics.values()])
        self._tasks = TaskDraw(positions, examples=self.shots + self.queries)

    def _draw(self, index: int) -> tuple[str, list[int]]:
        with isolated_generators(f"{self._seed}:{index}"):
            label, positions = self._tasks.sample()
        return self._names[label], positions


class DialoguePositions(Dataset[tuple[int, int]]):
    """All dialogues, as positions within their topics, labelled with the number of the topic."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """Enumerate the dialogues of topics of these sizes."""
        self._items = [(position, label) for label, size in enumerate(sizes) for position in range(size)]

    def __len__(self) -> int:
        """Return the number of dialogues of all topics."""
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Return (position, label) of a dialogue."""
        return self._items[index]


@contextmanager
def isolated_generators(seed: str) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch (CPU), and restore them on exit.

    learn2learn draws from the global generators, which must not affect training and generation.
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    others = random.Random(seed)
    random.seed(seed)
    np.random.seed(others.getrandbits(32))  # noqa: NPY002
    torch.default_generator.manual_seed(others.getrandbits(63))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
