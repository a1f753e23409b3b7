"""Common parts of the engines that run several tasks at once."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked.network import Weights
from metadialog.engines.stacked.prepared import Sets, prepare
from metadialog.engines.stacked.sweep import Keeping, RateKey, Sweep, Swept
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.inner.base import InnerRule
from metadialog.models.loss import mean_token_loss
from metadialog.models.protocol import obstacle_of
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds

Rates = tuple[Mapping[str, Tensor], ...] | None


def obstacle(model: nn.Module, objective: Objective, inner: InnerLoop) -> str | None:
    """Name the part without hand-written derivatives; None if all have them."""
    unknown = obstacle_of(model)
    if unknown is not None:
        return unknown
    for loss in (objective, inner.support_objective or objective):
        if loss is not mean_token_loss:
            return f"the objective {getattr(loss, '__name__', type(loss).__name__)}"
    return None if inner.rule.is_plain else rule_obstacle(inner.rule)


def rule_obstacle(rule: InnerRule) -> str:
    """Describe how an inner rule differs from plain gradient descent."""
    ways = [f"inner.{option}" for option in ("clip_norm", "weight_decay", "chunk") if getattr(rule, option)]
    kind = type(rule).__name__
    return f"an inner loop of {kind}{' with ' + ', '.join(ways) if ways else ''}"


def check_stackable(engine: str, model: nn.Module, objective: Objective, inner: InnerLoop) -> DialogModel:
    """Return the model after checking that it has hand-written derivatives.

    Raises:
        ConfigError: it has not.
    """
    unknown = obstacle(model, objective, inner)
    if unknown is not None:
        raise ConfigError(
            f"engine={engine}: supports only DialogModel with cross-entropy and plain gradient descent, "
            f"not {unknown}; engine=functional, engine=learn2learn and engine=auto support everything"
        )
    return cast("DialogModel", model)


def swept_meta_gradient(
    model: DialogModel,
    episodes: Sequence[Episode],
    inner: InnerLoop,
    reduction: Reduction,
    size: int,
    keeping: Keeping,
    graphs: Graphs | None = None,
) -> MetaGradient:
    """Sweep over the tasks, `size` at a time, and combine the results."""
    outer_losses, support_losses, query_losses = [], [], []
    totals: dict[str, Tensor] = {}
    rate_totals: dict[RateKey, Tensor] = {}
    seeds = TaskSeeds()
    with torch.no_grad():
        for start in range(0, len(episodes), size):
            swept = _swept(model, episodes[start : start + size], inner, keeping, seeds, graphs)
            outer_losses.append(swept.outer_losses)
            support_losses.append(swept.support_losses)
            query_losses.append(swept.query_losses)
            _add_up(totals, swept.gradients)
            _add_up(rate_totals, swept.rate_gradients)
        weight = 1 / len(episodes) if reduction == "mean" else 1.0
        for total in (*totals.values(), *rate_totals.values()):
            total.mul_(weight)
        gradients = tuple(
            totals[name] if name in totals else torch.zeros_like(parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        )
        rate_gradients = tuple(
            {name: rate_totals.get((step, name), torch.zeros_like(rate)) for name, rate in rates.items()}
            for step, rates in enumerate(inner.rates or ())
        )
        return MetaGradient(
            torch.cat(outer_losses).sum() * weight,
            torch.cat(support_losses),
            torch.cat(query_losses),
            gradients,
            rate_gradients,
        )


def _swept(
    model: DialogModel,
    episodes: Sequence[Episode],
    inner: InnerLoop,
    keeping: Keeping,
    seeds: TaskSeeds,
    graphs: Graphs | None,
) -> Swept:
    """Sweep over some tasks, with a recorded graph if possible."""
    if graphs is None or not graphs.take(model.linear.weight.device):
        return Sweep(model, inner, keeping, prepare(model, episodes, inner, seeds)).run()
    sets = prepare(model, episodes, inner, seeds, rounded=True)

    def sweep(argument: tuple[Sets, Weights, Rates]) -> Swept:
        sets, start, rates = argument
        return Sweep(model, replace(inner, rates=rates), keeping, sets, start).run()

    swept: Swept = graphs.call(("sweep", *recipe(model, inner), keeping), sweep, (sets, start_of(model), inner.rates))
    return swept


def recipe(model: DialogModel, inner: InnerLoop) -> tuple[Hashable, ...]:
    """Return the key of a sweep: everything that determines it in addition to the shapes of its arguments."""
    trained = tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    kind = model.rnn.mode, model.rnn.num_layers, model.embed.weight is model.linear.weight
    return kind, trained, inner.lr, inner.steps, inner.first_order, inner.adapted, inner.query_weights


def start_of(model: DialogModel) -> dict[str, Tensor]:
    """Return the parameters as values."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _add_up(totals: dict[Any, Tensor], parts: Mapping[Any, Tensor]) -> None:
    for name, part in parts.items():
        totals[name] = totals[name].add_(part) if name in totals else part
