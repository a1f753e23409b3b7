"""MAML that learns how to transform its inner gradients."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from metadialog.algorithms.base import OuterStep
from metadialog.algorithms.maml import MAML
from metadialog.engines.base import support_of
from metadialog.episodes import Batch, Episode
from metadialog.errors import ConfigError
from metadialog.learn2learn_interface import Learner, curvature_transforms, transformed
from metadialog.randomness import TaskSeeds


class MetaCurvature(MAML):
    """Park and Oliva 2019 (arXiv:1902.03356), equation 8, through learn2learn's GBML.

    The gradient `G` of each weight matrix becomes `M_in G M_out` before an inner step, that of a bias is multiplied by
    a vector; matrices and vectors are learned with the initialisation, and start as the identity, which is MAML. For a
    matrix of m rows and n columns, the transform has m * m + n * n parameters.

    Args:
        tools: engine, inner rule and objectives; as the loop is learn2learn's own, the rule must be plain gradient
            descent on all parameters, and the engine `learn2learn` or `auto`.

    Raises:
        ConfigError: the inner rule or the engine is not one of these.
    """

    additive = True

    def __post_init__(self) -> None:
        """Check that the inner rule and the engine leave the loop to learn2learn."""
        super().__post_init__()
        rule = self.tools.rule
        if not rule.is_plain or rule.adapted is not None or rule.frozen:
            raise ConfigError(
                f"algorithm={self.name}: learn2learn's GBML takes plain steps on all parameters; leave inner=sgd "
                "at its defaults"
            )
        if not getattr(self.tools.engine, "takes_any_loop", False):
            raise ConfigError(
                f"engine={self.tools.engine.name}: algorithm={self.name} is learn2learn's GBML; choose engine=auto or "
                "engine=learn2learn"
            )

    def check(self, model: nn.Module) -> None:
        """Accept every model, as no engine is involved; see `Algorithm.check`."""

    def prepare(self, model: nn.Module) -> nn.Module:
        """Create the transforms of each parameter's gradient."""
        self.learned = curvature_transforms(model)
        return model

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the meta-gradient of the meta-batch into the `.grad` of model and transforms, task by task."""
        model.zero_grad()
        self.learned.zero_grad()
        weight = 1 / len(episodes) if self.reduction == "mean" else 1.0
        support_losses, query_losses = [], []
        seeds = TaskSeeds()
        # cuDNN's recurrent layers have no double backward.
        with torch.backends.cudnn.flags(enabled=False):
            for episode in episodes:
                with seeds.of(episode.index):
                    support_loss, query_loss = self._two_levels(model, episode)
                (weight * query_loss).backward()  # type: ignore[no-untyped-call]
                support_losses.append(support_loss)
                query_losses.append(query_loss.item())
        mean = sum(query_losses) / len(query_losses)
        loss = mean if self.reduction == "mean" else sum(query_losses)
        return OuterStep(loss, sum(support_losses) / len(support_losses), mean, reduction=self.reduction)

    def _two_levels(self, model: nn.Module, episode: Episode) -> tuple[float, Tensor]:
        """Return a task's support loss before the inner loop, and its query loss after it."""
        learner, support = self._clone(model, 1.0), support_of(episode)
        losses = []
        for _ in range(self.inner_steps):
            losses.append(self.tools.objectives.inner(learner.module, support))
            learner.adapt(losses[-1])
        return losses[0].item(), self.tools.objectives.outer(learner.module, episode.query)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` transformed steps; see `Algorithm.adapt`."""
        if support is None:
            yield model
            return
        learner = self._clone(model, scale)
        learner.detach()
        yield learner.module
        for _ in range(steps):
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
                loss = self.tools.objectives.inner(learner.module, support)
                learner.adapt(loss, first_order=True)
            learner.detach()
            yield learner.module

    def _clone(self, model: nn.Module, scale: float) -> Learner:
        start = transformed(model, self.inner_lr * scale, self.learned, first_order=self.first_order)
        with torch.enable_grad():
            return start.clone()
