"""Meta-learning without a query set and without a meta-gradient."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from metadialog.algorithms.base import GradientAlgorithm, OuterStep, Passes, assign_gradients
from metadialog.engines.base import support_of
from metadialog.episodes import Batch, Episode, merge
from metadialog.options import FROM_YAML
from metadialog.randomness import TaskSeeds


class Reptile(GradientAlgorithm):
    """Nichol et al. 2018 (arXiv:1803.02999), algorithm 2: move towards the weights that tasks are trained to.

    The outer gradient is `mean_i (theta - theta_i')`, where `theta_i'` comes of inner steps on a task's dialogues;
    what the outer optimizer makes of it is the step.

    Args:
        inner_steps: inner steps in training and validation; with one, the gradient is that of joint training.
        dialogues: what the inner steps are trained on in the outer loop: `all` of the task's dialogues, support and
            query, as every other algorithm sees them; or those of its `support` set.
    """

    dialogues: Literal["all", "support"] = FROM_YAML

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the mean way from the tasks' trained weights back to the start into the parameters' `.grad`."""
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        totals = [torch.zeros_like(parameter) for parameter in trainable]
        support_losses, query_losses = [], []
        seeds = TaskSeeds()
        for episode in episodes:
            with seeds.of(episode.index):
                support_losses.append(self._loss(model, support_of(episode)))
                *_, adapted = self.adapt(model, self._trained_on(episode), self.inner_steps)
                query_losses.append(self._loss(adapted, episode.query))
            after = (parameter for parameter in adapted.parameters() if parameter.requires_grad)
            with torch.no_grad():
                for total, start, end in zip(totals, trainable, after, strict=True):
                    total.add_(start - end, alpha=1 / len(episodes))
        assign_gradients(model, totals)
        loss = sum(query_losses) / len(query_losses)
        return OuterStep(loss, sum(support_losses) / len(support_losses), loss)

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return what an outer step goes over."""
        return Passes(self.inner_steps, 0, self.inner_steps if self.dialogues == "all" else 0)

    def _trained_on(self, episode: Episode) -> Batch:
        support = support_of(episode)
        return support if self.dialogues == "support" else merge([support, episode.query])

    def _loss(self, model: nn.Module, batch: Batch) -> float:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            return self.tools.objectives.outer(model, batch).item()
