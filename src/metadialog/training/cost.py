"""What training has cost: dialogues, tokens, seconds, memory, and the operations that were executed."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict
from torch import nn

from metadialog.algorithms.base import Algorithm, Passes
from metadialog.episodes import Batch, Episode
from metadialog.runs.schemas import TrainingCost, read_costs
from metadialog.token_ids import PAD_ID

FORWARD = 2
"""Floating-point operations of a forward pass for each weight of a matrix and token: a multiplication, an addition."""
PASS = 3
"""A forward and a backward pass, over a forward pass: the backward one has two products for each of the forward's."""
HESSIAN_PRODUCT = 6
"""The tangents of both, likewise: two products for each."""


class TrainingMeter(TrainingCost):
    """Adds up what the outer steps cost."""

    model_config = ConfigDict(frozen=False)

    def add(self, tokens: tuple[int, int], passes: Passes, seconds: float, peak: int) -> None:
        """Add an outer step over so many tokens of support and of query sets; `peak` in bytes, so far."""
        support, query = tokens
        self.steps += 1
        self.tokens += passes.support * support + passes.query * query
        self.seconds += seconds
        self.peak_bytes = max(self.peak_bytes, peak)

    def add_flops(self, whole: float, part: float, counted: int | None, *, restart: bool) -> None:
        """Add the operations of an outer step.

        Args:
            whole: `expected_flops` of the meta-batch.
            part: the same of what this process computes of it.
            counted: the operations that it has executed; None where they were not counted.
            restart: whether the step goes over other sets than the one before, so that their proportion says nothing.
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

    Those of the first steps are, those of every sixteenth, and those of each that goes over other sets than the one
    before. It depends on the step alone, so that a run that was resumed counts the same.
    """
    return step < COUNTED_AT_FIRST or step % COUNTED_EVERY == 0 or goes_elsewhere(algorithm, step)


def goes_elsewhere(algorithm: Algorithm, step: int) -> bool:
    """Tell whether an outer step is the first, or goes over some sets more or less often than the one before it."""
    return step == 0 or algorithm.passes(step) != algorithm.passes(step - 1)


def expected_flops(weights: int, tokens: tuple[int, int], passes: Passes) -> float:
    """Return what an outer step would take if every token went through every matrix.

    That is `2 * weights * tokens` for a forward pass (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), three times
    that for a pass of gradients, six times for a Hessian-vector product. What is executed differs: padding is computed
    too, logits that do not count are not, of ANIL's body no gradient is taken in the inner loop.

    Args:
        weights: see `count_weights`.
        tokens: of support and of query sets.
        passes: over them.
    """
    support, query = tokens
    on_support = PASS * passes.support + HESSIAN_PRODUCT * passes.hessian_products
    return float(FORWARD * weights * (on_support * support + PASS * passes.query * query))


def count_tokens(batch: Batch) -> int:
    """Count the tokens of a set, without padding."""
    return int((batch.inputs != PAD_ID).sum())


def count_sets(episodes: Sequence[Episode]) -> tuple[int, int]:
    """Count the tokens of the support and of the query sets, without padding."""
    support = sum(count_tokens(episode.support) for episode in episodes if episode.support is not None)
    return support, sum(count_tokens(episode.query) for episode in episodes)


def count_weights(model: nn.Module) -> int:
    """Count the weights of the matrices that tokens are multiplied by."""
    looked_up = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    multiplied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    return sum(
        parameter.numel()
        for parameter in model.parameters()
        if parameter.dim() > 1 and (id(parameter) not in looked_up or id(parameter) in multiplied)
    )


def cost_of(path: Path) -> TrainingMeter:
    """Read what the training of another run has cost; nothing, where it has kept no account.

    Args:
        path: its `cost.json`.

    Raises:
        RunError: the file is damaged.
    """
    result = read_costs(path).meta_train if path.exists() else None
    return TrainingMeter() if result is None else TrainingMeter(**result.model_dump())
