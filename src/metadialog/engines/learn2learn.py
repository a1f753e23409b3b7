"""The reference engine: learn2learn's MAML wrapper, one task after another.

It is simple rather than fast: `clone()` copies the model inside the graph, `adapt()` takes one inner step on the copy,
and autograd differentiates through all of it. All other engines must give the same result.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction, support_of
from metadialog.engines.descent import BaseEngine
from metadialog.engines.support import support_gradients
from metadialog.episodes import Batch, Episode
from metadialog.inner.base import Memory
from metadialog.learn2learn_interface import Learner, maml
from metadialog.randomness import TaskSeeds


class Learn2LearnEngine(BaseEngine):
    """MAML as in Finn et al. 2017 (arXiv:1703.03400), equation 1 and algorithm 1, through learn2learn.

    With `theta_i' = theta - alpha * grad L_i(theta; support)` repeated `steps` times, the meta-gradient is
    `grad_theta reduce_i L_i(theta_i'; query)`.
    """

    name = "learn2learn"
    takes_any_loop = True

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient task by task, with the graph of one task in memory at a time.

        Args:
            model: the initialisation, theta.
            objective: the loss of a model on a batch, scalar, nats.
            episodes: the meta-batch; each needs a support set.
            inner: the inner loop.
            reduction: reduction over tasks.
        """
        start = maml(model, inner.lr, first_order=inner.first_order, allow_unused=True)
        parameters = [p for p in model.parameters() if p.requires_grad]
        rates = [rate for of_step in inner.rates or () for rate in of_step.values()]
        leaves = [*parameters, *rates, *inner.rule.learned]
        totals = [torch.zeros_like(leaf) for leaf in leaves]
        weight = 1 / len(episodes) if reduction == "mean" else 1.0
        outer_losses, support_losses, query_losses = [], [], []
        seeds = TaskSeeds()
        # cuDNN's recurrent layers have no double backward.
        with torch.backends.cudnn.flags(enabled=False):
            for episode in episodes:
                with seeds.of(episode.index):
                    support_loss, outer_loss, query_loss = self._two_levels(start, objective, episode, inner)
                if outer_loss.requires_grad and leaves:
                    gradients = torch.autograd.grad(
                        weight * outer_loss, leaves, allow_unused=True, materialize_grads=True
                    )
                    torch._foreach_add_(totals, gradients)
                outer_losses.append(outer_loss.detach())
                support_losses.append(support_loss.detach())
                query_losses.append(query_loss.detach())
        loss = weight * torch.stack(outer_losses).sum()
        rest = iter(totals[len(parameters) :])
        rate_gradients = tuple({name: next(rest) for name in of_step} for of_step in inner.rates or ())
        return MetaGradient(
            loss,
            torch.stack(support_losses),
            torch.stack(query_losses),
            tuple(totals[: len(parameters)]),
            rate_gradients,
            tuple(rest),
        )

    def _two_levels(
        self, start: Learner, objective: Objective, episode: Episode, inner: InnerLoop
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return a task's support loss before the inner loop, its outer loss, and its query loss after the loop."""
        support = support_of(episode)
        learner = start.clone()
        descent = _Descent(learner, objective, support, inner)
        queries: dict[int, Tensor] = {}
        supports = []
        for step in range(inner.steps + 1):
            if inner.query_weight(step):
                queries[step] = objective(learner.module, episode.query)
            if step < max(1, inner.steps):
                supports.append(descent.step(step))
        outer = torch.stack([inner.query_weight(step) * loss for step, loss in queries.items()]).sum()
        return supports[0], outer, queries[inner.steps]


class _Descent:
    """The inner loop on a clone, within the graph, by learn2learn's `adapt` or by a rule that it does not have."""

    def __init__(self, learner: Learner, objective: Objective, support: Batch, inner: InnerLoop) -> None:
        self.learner = learner
        self.objective = objective
        self.support = support
        self.inner = inner
        adapted = self._adapted()
        everything = inner.adapted is None and len(adapted) > 0  # learn2learn's own step needs a parameter
        self.plain = everything and inner.rule.is_plain and inner.rates is None
        self.memory = Memory({} if self.plain else adapted)

    def step(self, step: int) -> Tensor:
        """Return the support loss, and take a step unless it is the last."""
        if self.plain or step >= self.inner.steps:
            loss = (self.inner.support_objective or self.objective)(self.learner.module, self.support)
            if step < self.inner.steps:
                self.learner.adapt(loss)
            return loss
        return self._step_by_rule(step)

    def _step_by_rule(self, step: int) -> Tensor:
        parameters = self._adapted()
        loss, gradients = support_gradients(
            self.learner.module,
            parameters,
            self.objective,
            self.support,
            self.inner,
            create_graph=not self.inner.first_order,
        )
        rates = {name: self.inner.rate(name, step) for name in gradients}
        changes, self.memory = self.inner.rule.changes(parameters, gradients, rates, self.memory)
        self.learner.update([changes.get(name) for name, _ in self.learner.module.named_parameters()])
        return loss

    def _adapted(self) -> dict[str, Tensor]:
        named = self.learner.module.named_parameters()
        return {name: value for name, value in named if value.requires_grad and self.inner.adapts(name)}
