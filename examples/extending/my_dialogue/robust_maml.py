"""An algorithm of your own: MAML for the topics that do worst."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn

from metadialog.algorithms.base import OuterStep, assign_gradients
from metadialog.algorithms.maml import MAML
from metadialog.episodes import Episode


class RobustMAML(MAML):
    """MAML that minimises `sum_i w_i L_i` with `w = softmax(temperature * L)`, after Collins et al. 2020 (2002.04766).

    Args:
        temperature: how much more a task with a high loss counts; towards 0 it is MAML.
    """

    temperature: Annotated[float, Gt(0)]
    additive = False  # the weights compare the tasks of a meta-batch, so that processes cannot share it

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the weighted meta-gradient into the parameters' `.grad`."""
        inner, objective, engine = self.training_loop(model, step), self.tools.objectives.outer, self.tools.engine
        results = [engine.meta_gradient(model, objective, [episode], inner, "mean") for episode in episodes]
        losses = torch.stack([result.loss for result in results])  # [tasks]
        weights = torch.softmax(self.temperature * losses, dim=0)
        weights = weights * len(episodes) if self.reduction == "sum" else weights
        by_parameter = zip(*(result.gradients for result in results), strict=True)
        assign_gradients(model, [torch.tensordot(weights, torch.stack(of_tasks), 1) for of_tasks in by_parameter])
        support_loss = torch.cat([result.support_losses for result in results]).mean().item()
        return OuterStep((weights * losses).sum().item(), support_loss, losses.mean().item(), reduction=self.reduction)
