"""Evaluation of groups of episodes in one pass."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from metadialog.algorithms.base import Algorithm
from metadialog.engines.functional.adaptation import SideBySide
from metadialog.episodes import Episode, Exchange
from metadialog.evaluation.scoring import Score, score
from metadialog.generation.base import Generation
from metadialog.generation.stepwise import Choose, Stepwise
from metadialog.models.protocol import BaseModel, obstacle_of
from metadialog.tokenizers.tokenizer import Tokenizer

AT_ONCE = {"cpu": 5, "cuda": 16}
"""Maximum number of episodes in a group, by device type.

It is independent of the number of processes, so that results are too. On a CPU only models with hand-written
derivatives are adapted in groups, as others gain little or become slower (see `experiments/cost_of_maml`).
"""
TOGETHER = {"cuda"}
"""Device types on which a group is also scored and answered in one pass.

A CPU is faster one by one: without a graph there are few operations, and the weights of one task stay in its cache.
"""
BYTES = 2**29
"""Maximum memory of the parameters of a group, including intermediate results."""
_COPIES = 6

Item = TypeVar("Item")
Result = TypeVar("Result")
Each = Callable[[Callable[[list[int]], list[Result]], Sequence[list[int]]], list[list[Result]]]
"""Maps a function over groups; several processes may share the work."""

log = logging.getLogger(__name__)


class OwnWayError(RuntimeError):
    """An algorithm cannot adapt to several episodes in one pass."""


one_by_one: dict[object, str] = {}
"""Reasons why episodes are evaluated one after another, by kind of model, algorithm and inner loop."""


def groups(model: nn.Module, episodes: Sequence[Episode]) -> list[list[int]]:
    """Return the positions of episodes in groups with the same number of shots, to be run in one pass."""
    size = sum(parameter.nbytes for parameter in model.parameters())
    kind = next(model.parameters()).device.type
    most = max(1, min(AT_ONCE.get(kind, 1), BYTES // max(1, _COPIES * size)))
    if kind not in TOGETHER and obstacle_of(model) is not None:
        most = 1
    by_shots: dict[int, list[int]] = {}
    for index, episode in enumerate(episodes):
        by_shots.setdefault(episode.shots, []).append(index)
    return [
        positions[start : start + most] for positions in by_shots.values() for start in range(0, len(positions), most)
    ]


def in_groups(
    model: nn.Module,
    episodes: Sequence[Episode],
    function: Callable[[Sequence[Episode]], list[Result]],
    each: Each[Result] | None = None,
) -> list[Result]:
    """Apply a function to groups of episodes, and return its results in the order of the episodes.

    Args:
        model: the model, whose size determines the size of a group.
        episodes: the episodes.
        function: maps episodes to a result for each.
        each: maps a function over the groups; None to process them one after another.
    """

    def of_group(positions: list[int]) -> list[Result]:
        return function([episodes[position] for position in positions])

    parts = groups(model, episodes)
    result = [of_group(positions) for positions in parts] if each is None else each(of_group, parts)
    by_position: dict[int, Result] = {}
    for positions, made in zip(parts, result, strict=True):
        by_position |= dict(zip(positions, made, strict=True))
    return [by_position[position] for position in range(len(episodes))]


def together_or_alone(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Item],
    together: Callable[[Sequence[Item]], list[Result]],
    alone: Callable[[Item], Result],
) -> list[Result]:
    """Return the results of episodes, in one pass if the model's operations allow it.

    Args:
        model: the model.
        algorithm: adapts it.
        episodes: the episodes.
        together: processes all of them in one pass; raises a RuntimeError if `vmap` does not support an operation.
        alone: processes one of them.
    """
    kind = type(model), type(algorithm), type(algorithm.tools.rule), _name(algorithm.tools.objectives.inner)
    if len(episodes) > 1 and kind not in one_by_one:
        try:
            return together(episodes)
        except OwnWayError:
            pass
        except (RuntimeError, NotImplementedError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            one_by_one[kind] = " ".join(str(error).split())[:200]
            log.info("episodes are evaluated one by one: %s", one_by_one[kind])
    return [alone(episode) for episode in episodes]


def adapted_together(
    model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode], steps: int, scale: float
) -> Iterator[SideBySide]:
    """Yield the models of several episodes after 0, 1, ..., `steps` inner steps.

    Raises:
        RuntimeError: they cannot be adapted in one pass.
    """
    result = algorithm.adapt_together(model, [algorithm.adapts_to(episode) for episode in episodes], steps, scale)
    if result is None:
        raise OwnWayError(algorithm.name)
    return result


def in_one_pass(models: SideBySide) -> bool:
    """Tell whether scoring several models and generating their replies is faster together."""
    return next(models.model.parameters()).device.type in TOGETHER


def scores(models: SideBySide, episodes: Sequence[Episode]) -> list[Score]:
    """Score each model on its episode's query set."""
    queries = [episode.query for episode in episodes]
    if not in_one_pass(models):
        return [score(models.one(task), query) for task, query in enumerate(queries)]
    losses, hits = models.scores(queries)
    counts = [int(query.mask.sum()) for query in queries]
    return [
        Score(loss / tokens, tokens, hit / tokens)
        for loss, hit, tokens in zip(losses.tolist(), hits.tolist(), counts, strict=True)
    ]


def step_losses(
    model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode], steps: int, scale: float = 1.0
) -> list[list[float]]:
    """Return the query losses of each episode after 0, 1, ..., `steps` inner steps, nats per token.

    Args:
        model: the trained model.
        algorithm: adapts it.
        episodes: episodes with the same number of shots.
        steps: number of inner steps.
        scale: factor of the inner rates.
    """

    def together(some: Sequence[Episode]) -> list[list[float]]:
        stages = [scores(models, some) for models in adapted_together(model, algorithm, some, steps, scale)]
        return [[scored.loss for scored in of_episode] for of_episode in zip(*stages, strict=True)]

    def alone(episode: Episode) -> list[float]:
        adapted = algorithm.adapt(model, algorithm.adapts_to(episode), steps, scale=scale)
        return [score(one, episode.query).loss for one in adapted]

    return together_or_alone(model, algorithm, episodes, together, alone)


def replies_together(
    models: SideBySide, exchanges: Sequence[Sequence[Exchange]], generation: Generation, tokenizer: Tokenizer
) -> list[list[str]] | None:
    """Generate the replies of several models, each to its own exchanges, in one batch; see `generate_replies`.

    Returns:
        The replies to each model's exchanges; None if that is not possible, as with beam search or a model with custom
        states, or if it is slower.
    """
    if not in_one_pass(models) or not isinstance(generation, Stepwise) or not _has_plain_states(models.model):
        return None
    prompts = [[exchange.prompt for exchange in of_task] for of_task in exchanges]
    counts = [len(of_task) for of_task in prompts]
    device = next(models.model.parameters()).device
    of_all = copy.copy(generation)
    choosers = [generation.chooser(of_task, torch.Generator(device=device).manual_seed(0)) for of_task in prompts]
    chosen = _joined(choosers, counts)
    of_all.chooser = lambda prompts, generator: chosen  # type: ignore[method-assign]  # noqa: ARG005 - as of each
    flat = [prompt for of_task in prompts for prompt in of_task]
    ids = iter(of_all.generate(models.speaker(counts), flat, tokenizer.end_id, tokenizer.unspoken, None))
    return [[tokenizer.decode(next(ids)) for _ in range(count)] for count in counts]


def _joined(choosers: Sequence[Choose], counts: Sequence[int]) -> Choose:
    """Return a function that lets each task's chooser choose for the rows of its task."""
    starts = [sum(counts[:task]) for task in range(len(counts))]

    def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
        parts, begin = [], 0
        for chooser, start, count in zip(choosers, starts, counts, strict=True):
            own = [row - start for row in rows if start <= row < start + count]
            if own:
                parts.append(chooser(logits[begin : begin + len(own)], own))
            begin += len(own)
        return torch.cat(parts)

    return choose


def _has_plain_states(model: nn.Module) -> bool:
    kind = type(model)
    return isinstance(model, BaseModel) and all(
        getattr(kind, name) is getattr(BaseModel, name) for name in ("step", "select_rows")
    )


def _name(objective: object) -> object:
    return getattr(objective, "__qualname__", None) or type(objective)
