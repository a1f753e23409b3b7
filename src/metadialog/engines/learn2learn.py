"""The reference engine: learn2learn's MAML wrapper, one task after another.

Clear rather than fast: `clone()` copies the model inside the graph, `adapt()` takes one inner step on the copy,
and autograd differentiates through all of it. Other engines must equal this one.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.episodes import Batch, Episode
from metadialog.learn2learn_import import learn2learn, quiet_clone


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
        total = [torch.zeros_like(p) for p in parameters]
        weight = 1 / len(episodes) if reduction == "mean" else 1.0
        support_losses, query_losses = [], []
        # cuDNN's recurrent layers have no double backward.
        with torch.backends.cudnn.flags(enabled=False):
            for episode in episodes:
                support_loss, query_loss = self._two_levels(maml, objective, episode, inner.steps)
                gradients = torch.autograd.grad(
                    weight * query_loss, parameters, allow_unused=True, materialize_grads=True
                )
                torch._foreach_add_(total, gradients)
                support_losses.append(support_loss.detach())
                query_losses.append(query_loss.detach())
        queries = torch.stack(query_losses)
        loss = queries.mean() if reduction == "mean" else queries.sum()
        return MetaGradient(loss, torch.stack(support_losses), queries, tuple(total))

    def _two_levels(self, maml: nn.Module, objective: Objective, episode: Episode, steps: int) -> tuple[Tensor, Tensor]:
        """Return a task's support loss before, and its query loss after, the inner loop."""
        if episode.support is None:
            raise ValueError(f"the episode of topic {episode.topic!r} has no support set to adapt on")
        with quiet_clone():
            learner = maml.clone()  # type: ignore[operator]
        before = loss = objective(learner, episode.support)
        for step in range(steps):
            if step:
                loss = objective(learner, episode.support)
            with quiet_clone():  # adapt() re-routes the recurrent layers' weights, which clones them as well
                learner.adapt(loss)
        return before, objective(learner, episode.query)

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step.

        Values alone are wanted here, so this is the same update by `torch.optim.SGD` on a copy: memory does not
        grow with the number of steps.
        """
        adapted = copy.deepcopy(model)
        optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=inner.lr)
        yield adapted
        for _ in range(inner.steps):
            optimizer.zero_grad()
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                objective(adapted, support).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield adapted
