"""Workloads of any model: random exchanges of two turns, as models with turn structure need them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from metadialog.engines.base import InnerLoop
from metadialog.episodes import Batch, Episode
from metadialog.models.hred import HRED
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.models.transformer import Transformer
from metadialog.token_ids import BEGIN_ID, OTHER_ID, SELF_ID

INNER_LR = 0.1
_SPECIAL = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a model and a meta-batch; the defaults are those of `small` in `metadialog.benchmark.workload`.

    Attributes:
        vocabulary: number of token ids.
        width: width of recurrent layers and of the embedding.
        tasks: number of tasks in a meta-batch.
        exchanges: number of exchanges of a support set, and of a query set.
        length: number of tokens of an exchange.
        steps: number of inner steps.
        dropout: probability of dropping a unit.
    """

    vocabulary: int = 1_000
    width: int = 64
    tasks: int = 16
    exchanges: int = 4
    length: int = 12
    steps: int = 1
    dropout: float = 0.0


def _recurrent(kind: Callable[..., nn.Module], sizes: Sizes, **options: object) -> nn.Module:
    return kind(
        sizes.vocabulary,
        embedding_size=sizes.width,
        hidden_size=sizes.width,
        layers=1,
        dropout=sizes.dropout,
        tied_embedding=False,
        **options,
    )


def _transformer(sizes: Sizes) -> nn.Module:
    width = 2 * sizes.width
    return Transformer(
        sizes.vocabulary, embedding_size=width, heads=4, layers=4, dropout=sizes.dropout, tied_embedding=False
    )


MODELS: Mapping[str, Callable[[Sizes], nn.Module]] = {
    "gru": partial(_recurrent, DialogModel, cell="gru"),
    "lstm": partial(_recurrent, DialogModel, cell="lstm"),
    "seq2seq gru luong": partial(_recurrent, Seq2Seq, cell="gru", attention="luong"),
    "seq2seq lstm luong": partial(_recurrent, Seq2Seq, cell="lstm", attention="luong"),
    "seq2seq gru bahdanau": partial(_recurrent, Seq2Seq, cell="gru", attention="bahdanau"),
    "hred": partial(_recurrent, HRED, cell="gru"),
    "transformer": _transformer,
}
"""Models by name; the Transformer has 4 layers, 4 heads and twice the width."""


@dataclass(frozen=True, slots=True)
class ModelWork:
    """A meta-step to measure."""

    model: nn.Module
    episodes: list[Episode]
    inner: InnerLoop

    def first_order(self) -> InnerLoop:
        """Return the inner loop of first-order MAML."""
        return replace(self.inner, first_order=True)


def model_work(name: str, sizes: Sizes, device: torch.device) -> ModelWork:
    """Create a model and a meta-batch from a fixed seed; the tokens of responses count."""
    generator = torch.Generator().manual_seed(0)

    def batch() -> Batch:
        shape = (sizes.exchanges, sizes.length + 1)
        tokens = torch.randint(_SPECIAL, sizes.vocabulary, shape, generator=generator)
        answer = sizes.length // 2
        tokens[:, 0], tokens[:, 1], tokens[:, answer] = BEGIN_ID, OTHER_ID, SELF_ID
        mask = torch.zeros(sizes.exchanges, sizes.length, dtype=torch.bool)
        mask[:, answer:] = True
        return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), mask, mask.sum(1))

    episodes = [Episode(f"task {index}", index, batch(), batch(), (), (), ()) for index in range(sizes.tasks)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS[name](sizes)
    return ModelWork(model.to(device), [one.to(device) for one in episodes], InnerLoop(INNER_LR, sizes.steps))
