"""What meta-learning has to beat: joint training with and without fine-tuning, and no training at all."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from metadialog.algorithms.base import OuterStep
from metadialog.engines.base import Engine, InnerLoop
from metadialog.episodes import Batch, Episode, merge
from metadialog.models.loss import mean_token_loss, token_losses
from metadialog.randomness import TaskSeeds, drops


class FineTuning:
    """Joint training over all meta-train topics, then fine-tuning on a topic's support set.

    The outer loop sees the very episodes that a meta-learner sees, support and query sets together as one batch,
    and minimises their mean token loss: ordinary training on the same dialogues, in the same order.

    Args:
        engine: fine-tunes, with the same inner loop as the meta-learners'.
        name: how records and tables call it.
        inner_lr: learning rate of fine-tuning.
        inner_steps: steps of fine-tuning in validation.
    """

    trains = True

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        inner_lr: Annotated[float, Gt(0)],
        inner_steps: Annotated[int, Ge(0)],
    ) -> None:
        self.engine = engine
        self.name = name
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode]) -> OuterStep:
        """Put the gradient of the mean token loss over all exchanges into the parameters' `.grad`."""
        # Each task has its own dropout masks, whoever else is in the meta-batch; without, one pass is faster.
        parts = [[episode] for episode in episodes] if drops(model) else [episodes]
        batches = [merge([batch for episode in part for batch in _sets(episode)]) for part in parts]
        tokens = sum(int(batch.mask.sum()) for batch in batches)
        seeds = TaskSeeds()
        value = 0.0
        model.zero_grad()
        # Off for all algorithms of a comparison, as the meta-learners have to do without cuDNN.
        with torch.backends.cudnn.flags(enabled=False):
            for part, batch in zip(parts, batches, strict=True):
                with seeds.of(part[0].index):
                    loss = token_losses(model, batch).sum() / tokens
                loss.backward()  # type: ignore[no-untyped-call]
                value += loss.item()
        return OuterStep(value, value, value, size=tokens)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` steps of fine-tuning on the support set."""
        if support is None:
            yield model
        else:
            yield from self.engine.adapt(model, mean_token_loss, support, InnerLoop(self.inner_lr, steps))


def _sets(episode: Episode) -> list[Batch]:
    return [episode.query] if episode.support is None else [episode.support, episode.query]


class Scratch(FineTuning):
    """Fine-tuning of a random initialisation: what the support set alone can teach.

    Same options as `FineTuning`; there is no outer loop.
    """

    trains = False

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode]) -> OuterStep:
        """Refuse: nothing is learned before the topic is met."""
        raise NotImplementedError("scratch has no outer loop")


class ZeroShot(FineTuning):
    """Joint training over all meta-train topics, and no adaptation.

    Args:
        engine: not used; every algorithm is given one.
        name: how records and tables call it.
    """

    def __init__(self, engine: Engine, *, name: str) -> None:
        super().__init__(engine, name=name, inner_lr=1.0, inner_steps=0)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int) -> Iterator[nn.Module]:  # noqa: ARG002
        """Yield the model as it is, once, whatever the support set."""
        yield model
