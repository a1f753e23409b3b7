"""What meta-learning has to beat: joint training with and without fine-tuning, and no training at all."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from metadialog.algorithms.base import GradientAlgorithm, OuterStep, Passes, Tools
from metadialog.episodes import Batch, Episode, merge


class FineTuning(GradientAlgorithm):
    """Joint training over all meta-train topics, then fine-tuning on a topic's support set.

    The outer loop sees the very episodes that a meta-learner sees, support and query sets together as one batch,
    and minimises their mean token loss: ordinary training on the same dialogues, in the same order.

    Args:
        tools: engine, inner rule and objectives, the same as the meta-learners'.
        name: how records and tables call it.
        inner_lr: learning rate of fine-tuning.
        inner_steps: steps of fine-tuning in validation.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        name: str,
        inner_lr: Annotated[float, Gt(0)],
        inner_steps: Annotated[int, Ge(0)],
    ) -> None:
        super().__init__(tools, name=name, inner_lr=inner_lr, inner_steps=inner_steps)

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the gradient of the mean token loss over all exchanges into the parameters' `.grad`."""
        supports = [episode.support for episode in episodes if episode.support is not None]
        everything = merge([*supports, *(episode.query for episode in episodes)])
        model.zero_grad()
        # Off for all algorithms of a comparison, as the meta-learners have to do without cuDNN.
        with torch.backends.cudnn.flags(enabled=False):
            loss = self.tools.objectives.outer(model, everything)
            loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        return OuterStep(value, value, value)

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return what an outer step goes over: everything, once."""
        return Passes(1, 0, 1)


class Scratch(FineTuning):
    """Fine-tuning of a random initialisation: what the support set alone can teach.

    Same options as `FineTuning`; there is no outer loop.
    """

    trains = False

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Refuse: nothing is learned before the topic is met."""
        raise NotImplementedError("scratch has no outer loop")


class ZeroShot(FineTuning):
    """Joint training over all meta-train topics, and no adaptation.

    Args:
        tools: engine, inner rule and objectives.
        name: how records and tables call it.
    """

    def __init__(self, tools: Tools, *, name: str) -> None:
        super().__init__(tools, name=name, inner_lr=1.0, inner_steps=0)

    def adapt(
        self,
        model: nn.Module,
        support: Batch | None,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        scale: float = 1.0,  # noqa: ARG002
    ) -> Iterator[nn.Module]:
        """Yield the model as it is, once, whatever the support set."""
        yield model
