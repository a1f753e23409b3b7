"""The workloads: models and meta-batches of fixed sizes."""

from dataclasses import dataclass
from typing import Literal

import torch

from metadialog.engines.base import InnerLoop
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel

Size = Literal["small", "medium", "large"]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Sizes of a GRU model and a meta-batch without padding, in which every token counts.

    Attributes:
        vocab_size: number of token ids.
        hidden_size: width of the recurrent layer and of the embedding.
        tasks: number of tasks in a meta-batch.
        batch: number of exchanges of a support set, and of a query set.
        time: number of tokens of an exchange.
    """

    vocab_size: int
    hidden_size: int
    tasks: int
    batch: int
    time: int


CONFIGURATIONS: dict[Size, Configuration] = {
    "small": Configuration(vocab_size=1_000, hidden_size=64, tasks=16, batch=4, time=12),
    "medium": Configuration(vocab_size=4_000, hidden_size=256, tasks=8, batch=8, time=24),
    "large": Configuration(vocab_size=16_000, hidden_size=1_024, tasks=32, batch=16, time=64),
}
INNER_LR = 0.1


@dataclass(frozen=True, slots=True)
class Workload:
    """A meta-step to measure."""

    model: DialogModel
    episodes: list[Episode]
    inner: InnerLoop


def make_workload(configuration: Configuration, inner_steps: int, device: torch.device) -> Workload:
    """Create a model and a meta-batch of random tokens from a fixed seed."""
    generator = torch.Generator().manual_seed(0)

    def batch() -> Batch:
        shape = (configuration.batch, configuration.time)
        tokens = torch.randint(configuration.vocab_size, (2, *shape), generator=generator)
        return Batch(tokens[0], tokens[1], torch.ones(shape, dtype=torch.bool), torch.ones(shape[0], dtype=torch.int64))

    episodes = [
        Episode(f"task {index}", index, batch(), batch(), (), (), ()).to(device) for index in range(configuration.tasks)
    ]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DialogModel(
            configuration.vocab_size,
            cell="gru",
            embedding_size=configuration.hidden_size,
            hidden_size=configuration.hidden_size,
            layers=1,
            dropout=0.0,
            tied_embedding=False,
        )
    return Workload(model.to(device), episodes, InnerLoop(INNER_LR, inner_steps))
