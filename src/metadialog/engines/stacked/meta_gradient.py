"""What the engines that run several tasks at once have in common."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.stacked.sweep import Keeping, Sweep
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds


def is_stackable(model: nn.Module, objective: Objective) -> bool:
    """Tell whether the derivatives of a model and an objective are written out."""
    return type(model) is DialogModel and objective is mean_token_loss


def check_stackable(engine: str, model: nn.Module, objective: Objective) -> DialogModel:
    """Return the model, as one whose derivatives are written out.

    Raises:
        ConfigError: they are not.
    """
    if not isinstance(model, DialogModel) or not is_stackable(model, objective):
        raise ConfigError(
            f"engine={engine}: knows the derivatives of DialogModel with cross-entropy alone, not of "
            f"{type(model).__name__} with {getattr(objective, '__name__', objective)}; engine=learn2learn knows all"
        )
    return model


def swept_meta_gradient(
    model: DialogModel, episodes: Sequence[Episode], inner: InnerLoop, reduction: Reduction, size: int, keeping: Keeping
) -> MetaGradient:
    """Sweep over the tasks, `size` at a time, and put the parts together."""
    support_losses, query_losses = [], []
    totals: dict[str, Tensor] = {}
    rate_totals: dict[str, Tensor] = {}
    seeds = TaskSeeds()
    with torch.no_grad():
        for start in range(0, len(episodes), size):
            swept = Sweep(model, episodes[start : start + size], inner, keeping, seeds).run()
            support_losses.append(swept.support_losses)
            query_losses.append(swept.query_losses)
            _add_up(totals, swept.gradients)
            _add_up(rate_totals, swept.rate_gradients)
        queries = torch.cat(query_losses)
        weight = 1 / len(episodes) if reduction == "mean" else 1.0
        for total in (*totals.values(), *rate_totals.values()):
            total.mul_(weight)
        gradients = tuple(
            totals[name] if name in totals else torch.zeros_like(parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        )
        return MetaGradient(queries.sum() * weight, torch.cat(support_losses), queries, gradients, rate_totals)


def _add_up(totals: dict[str, Tensor], parts: dict[str, Tensor]) -> None:
    for name, part in parts.items():
        totals[name] = totals[name].add_(part) if name in totals else part
