"""Meta-learning without a query set and without a meta-gradient."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import nn

from metadialog.algorithms.base import GradientAlgorithm, OuterStep, Passes, assign_gradients
from metadialog.engines.base import support_of
from metadialog.engines.descent import descend
from metadialog.episodes import Batch, Episode, merge
from metadialog.options import FROM_YAML
from metadialog.randomness import TaskSeeds
from metadialog.token_ids import PAD_ID


class Reptile(GradientAlgorithm):
    """Nichol et al. 2018 (arXiv:1803.02999), algorithm 2: move towards the weights that tasks are trained to.

    The outer gradient is `mean_i (theta - theta_i')`, where `theta_i'` is the result of inner steps on a task's
    dialogues; the outer optimizer takes a step with it. As in the paper, each inner step of the outer loop has its own
    minibatch: only then does the expected gradient reward directions that agree between minibatches (section 5.1). The
    minibatches are consecutive parts of a random order of the task's exchanges, which is drawn again when too few are
    left.

    Departures: on held-out topics every inner step uses the whole support set, as with every other algorithm; the inner
    optimizer is `inner`, plain gradient descent by default, where the paper uses Adam without momentum.

    Args:
        inner_steps: number of inner steps in training and validation; with 1, the gradient is that of joint training.
        dialogues: dialogues that the inner steps of the outer loop use: `all` of the task's, both support and query, so
            that the algorithm sees the same data as the others, or those of the `support` set.
        minibatch: number of exchanges in an inner step of the outer loop; None for all.
    """

    dialogues: Literal["all", "support"] = FROM_YAML
    minibatch: Annotated[int, Ge(1), Le(10**6)] | None = FROM_YAML
    additive = True

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the mean difference between the initial and the tasks' trained weights into the parameters' `.grad`."""
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        totals = [torch.zeros_like(parameter) for parameter in trainable]
        support_losses, query_losses = [], []
        tokens = 0
        inner, loss_of = self.inner_loop(model, self.inner_steps), self.tools.objectives.inner
        seeds = TaskSeeds()
        for episode in episodes:
            with seeds.of(episode.index):
                support_losses.append(self._loss(model, support_of(episode)))
                batches = self._batches(self._trained_on(episode))
                tokens += sum(int((batch.inputs != PAD_ID).sum()) for batch in batches)
                *_, adapted = descend(model, loss_of, batches, inner)
                query_losses.append(self._loss(adapted, episode.query))
            after = (parameter for parameter in adapted.parameters() if parameter.requires_grad)
            with torch.no_grad():
                for total, start, end in zip(totals, trainable, after, strict=True):
                    total.add_(start - end, alpha=1 / len(episodes))
        assign_gradients(model, totals)
        loss = sum(query_losses) / len(query_losses)
        return OuterStep(loss, sum(support_losses) / len(support_losses), loss, tokens=(tokens, 0))

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return the passes of an outer step: one over the minibatches, whose tokens the step reports."""
        return Passes(1, 0, 0)

    def _trained_on(self, episode: Episode) -> Batch:
        support = support_of(episode)
        return support if self.dialogues == "support" else merge([support, episode.query])

    def _batches(self, exchanges: Batch) -> list[Batch]:
        """Return the minibatch of each inner step."""
        rows = exchanges.mask.any(dim=1).nonzero().flatten()  # a truncated exchange may have no counted token
        if self.minibatch is None or self.minibatch >= len(rows):
            return [exchanges] * self.inner_steps
        order = rows[:0]
        batches = []
        for _ in range(self.inner_steps):
            if len(order) < self.minibatch:
                order = rows[torch.randperm(len(rows)).to(rows.device)]
            batches.append(exchanges.select(order[: self.minibatch]))
            order = order[self.minibatch :]
        return batches

    def _loss(self, model: nn.Module, batch: Batch) -> float:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            return self.tools.objectives.outer(model, batch).item()
