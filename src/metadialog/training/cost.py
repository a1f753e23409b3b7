"""The cost of training: dialogues, tokens, seconds, memory, and executed operations."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict
from torch import nn

from metadialog.algorithms.base import Algorithm, Passes
from metadialog.episodes import Batch, Episode
from metadialog.runs.schemas import TrainingCost, read_costs
from metadialog.token_ids import PAD_ID

FORWARD = 2
"""Floating-point operations of a forward pass per matrix weight and token: a multiplication and an addition."""
PASS = 3
"""Cost of a forward and a backward pass relative to a forward pass, as backward computes two products for each."""
HESSIAN_PRODUCT = 6
"""The same for the tangents of both passes."""


class TrainingMeter(TrainingCost):
    """Adds up the cost of outer steps."""

    model_config = ConfigDict(frozen=False)

    def add(self, tokens: tuple[int, int], passes: Passes, seconds: float, peak: int) -> None:
        """Add an outer step over `tokens` of support and of query sets, with a peak memory of `peak` bytes so far."""
        support, query = tokens
        self.steps += 1
        self.tokens += passes.support * support + passes.query * query
        self.seconds += seconds
        self.peak_bytes = max(self.peak_bytes, peak)

    def add_flops(self, whole: float, part: float, counted: int | None, *, restart: bool) -> None:
        """Add the operations of an outer step.

        Args:
            whole: `expected_flops` of the meta-batch.
            part: the same for the part that this process computes.
            counted: number of operations that it has executed; None if they were not counted.
            restart: whether the step has other passes than the one before, so that the earlier ratio does not apply.
        """
        if restart:
            self.counted_flops = self.counted_expected = 0.0
        if counted is not None:
            self.counted_flops += counted
            self.counted_expected += part
        now, expected = (self.counted_flops, self.counted_expected) if counted is None else (counted, part)
        self.flops += whole * now / expected if expected else whole


COUNTED_AT_FIRST, COUNTED_EVERY = 2, 16


def is_counted(algorithm: Algorithm, step: int) -> bool:
    """Tell whether the operations of an outer step are counted, which slows it down a little.

    They are counted in the first steps, in every sixteenth step, and in each step whose passes differ from the step
    before. This depends only on the step, so that a resumed run counts the same.
    """
    return step < COUNTED_AT_FIRST or step % COUNTED_EVERY == 0 or goes_elsewhere(algorithm, step)


def goes_elsewhere(algorithm: Algorithm, step: int) -> bool:
    """Tell whether an outer step is the first, or has other passes than the one before it."""
    return step == 0 or algorithm.passes(step) != algorithm.passes(step - 1)


def expected_flops(weights: int, tokens: tuple[int, int], passes: Passes) -> float:
    """Return the operations of an outer step if every token were multiplied by every matrix.

    That is `2 * weights * tokens` for a forward pass (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), three times
    that for a gradient pass, and six times for a Hessian-vector product. The executed operations differ: padding is
    also computed, logits that do not count are not, and ANIL computes no inner gradient of the body.

    Args:
        weights: see `count_weights`.
        tokens: number of tokens of support and of query sets.
        passes: passes over them.
    """
    support, query = tokens
    on_support = PASS * passes.support + HESSIAN_PRODUCT * passes.hessian_products
    return float(FORWARD * weights * (on_support * support + PASS * passes.query * query))


def count_tokens(batch: Batch) -> int:
    """Count the tokens of a batch, without padding."""
    return int((batch.inputs != PAD_ID).sum())


def count_sets(episodes: Sequence[Episode]) -> tuple[int, int]:
    """Count the tokens of the support and of the query sets, without padding."""
    support = sum(count_tokens(episode.support) for episode in episodes if episode.support is not None)
    return support, sum(count_tokens(episode.query) for episode in episodes)


def count_weights(model: nn.Module) -> int:
    """Count the weights of the matrices in a forward pass."""
    looked_up = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    multiplied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.dim() > 1 and (id(parameter) not in looked_up or id(parameter) in multiplied)
    )


def cost_of(path: Path) -> TrainingMeter:
    """Read the training cost of another run; zero if it has none recorded.

    Args:
        path: path of its `cost.json`.

    Raises:
        RunError: the file is damaged.
    """
    result = read_costs(path).meta_train if path.exists() else None
    return TrainingMeter() if result is None else TrainingMeter(**result.model_dump())
