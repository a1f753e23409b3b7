"""The reference engine: learn2learn's MAML wrapper, one task after another.

Clear rather than fast: `clone()` copies the model inside the graph, `adapt()` takes one inner step on the copy,
and autograd differentiates through all of it. Other engines must equal this one.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction, support_of
from metadialog.engines.descent import descend
from metadialog.episodes import Batch, Episode
from metadialog.learn2learn_import import learn2learn, quiet_clone
from metadialog.randomness import TaskSeeds


class Learn2LearnEngine:
    """MAML as in Finn et al. 2017 (arXiv:1703.03400), equation 1 and algorithm 1, through learn2learn.

    With `theta_i' = theta - alpha * grad L_i(theta; support)` repeated `steps` times, the meta-gradient is
    `grad_theta reduce_i L_i(theta_i'; query)`.
    """

    name = "learn2learn"

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient task by task: memory holds the graph of one task at a time.

        Args:
            model: the initialisation theta.
            objective: the loss of a model on a batch, scalar, nats.
            episodes: the meta-batch; each needs a support set.
            inner: the inner loop.
            reduction: over tasks.
        """
        maml = learn2learn.algorithms.MAML(
            model, lr=inner.lr, first_order=inner.first_order, allow_unused=True, allow_nograd=True
        )
        parameters = [p for p in model.parameters() if p.requires_grad]
        rates = dict(inner.rates or {})
        leaves = [*parameters, *rates.values()]
        totals = [torch.zeros_like(leaf) for leaf in leaves]
        weight = 1 / len(episodes) if reduction == "mean" else 1.0
        support_losses, query_losses = [], []
        seeds = TaskSeeds()
        # cuDNN's recurrent layers have no double backward.
        with torch.backends.cudnn.flags(enabled=False):
            for episode in episodes:
                with seeds.of(episode.index):
                    support_loss, query_loss = self._two_levels(maml, objective, episode, inner)
                gradients = torch.autograd.grad(weight * query_loss, leaves, allow_unused=True, materialize_grads=True)
                torch._foreach_add_(totals, gradients)
                support_losses.append(support_loss.detach())
                query_losses.append(query_loss.detach())
        queries = torch.stack(query_losses)
        loss = queries.mean() if reduction == "mean" else queries.sum()
        by_parameters, by_rates = totals[: len(parameters)], totals[len(parameters) :]
        return MetaGradient(
            loss, torch.stack(support_losses), queries, tuple(by_parameters), dict(zip(rates, by_rates, strict=True))
        )

    def _two_levels(
        self, maml: nn.Module, objective: Objective, episode: Episode, inner: InnerLoop
    ) -> tuple[Tensor, Tensor]:
        """Return a task's support loss before, and its query loss after, the inner loop."""
        support = support_of(episode)
        with quiet_clone():
            learner = maml.clone()  # type: ignore[operator]
        before = loss = objective(learner, support)
        for step in range(inner.steps):
            if step:
                loss = objective(learner, support)
            with quiet_clone():  # adapt() re-routes the recurrent layers' weights, which clones them as well
                if inner.adapted is None and inner.rates is None:
                    learner.adapt(loss)
                else:
                    _adapt_some(learner.module, loss, inner)
        return before, objective(learner, episode.query)

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)


def _adapt_some(module: nn.Module, loss: Tensor, inner: InnerLoop) -> None:
    """Take an inner step on some of a clone's parameters, or with rates of their own, as learn2learn's MetaSGD does."""
    named = dict(module.named_parameters())
    adapted = [name for name, value in named.items() if value.requires_grad and inner.adapts(name)]
    gradients = torch.autograd.grad(
        loss,
        [named[name] for name in adapted],
        create_graph=not inner.first_order,
        retain_graph=True,
        allow_unused=True,
    )
    steps = {
        name: inner.rate(name) * gradient
        for name, gradient in zip(adapted, gradients, strict=True)
        if gradient is not None
    }
    learn2learn.algorithms.maml.maml_update(module, lr=1.0, grads=[steps.get(name) for name in named])
