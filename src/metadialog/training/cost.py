"""What training has cost: tokens, seconds, memory, and an estimate of the arithmetic."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from metadialog.algorithms.base import Passes
from metadialog.episodes import PAD_ID, Batch, Episode
from metadialog.runs.schemas import read_costs

FORWARD = 2
"""Floating-point operations of a forward pass for each weight of a matrix and token: a multiplication, an addition."""
PASS = 3
"""A forward and a backward pass, over a forward pass: the backward one has two products for each of the forward's."""
HESSIAN_PRODUCT = 6
"""The tangents of both, likewise: two products for each."""


@dataclass(slots=True)
class Cost:
    """What the outer steps have cost so far.

    Attributes:
        steps: outer steps.
        tokens: tokens of support and query sets, once for each pass of gradients over them; padding does not count.
        seconds: of the outer steps, without validation; the sum over all parts of a run that was resumed.
        peak_bytes: the most memory that the process has had since training began, above what it had then: resident, or
            of torch on a GPU. So what other runs of the same process took before does not count. 0 on systems that
            do not count it for a process (without `/proc` as Linux has it, and without a GPU).
        flops: floating-point operations, estimated as `2 * weights * tokens` for a forward pass (Kaplan et al. 2020,
            arXiv:2001.08361, section 2.1: the weights of matrices, without an embedding that is only looked up), three
            times that for a pass of gradients, six times for a Hessian-vector product.
    """

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    flops: float = 0.0

    def add(self, weights: int, episodes: Sequence[Episode], passes: Passes, seconds: float, peak: int) -> None:
        """Add an outer step over some episodes."""
        self.add_counted(weights, count_sets(episodes), passes, seconds, peak)

    def add_counted(self, weights: int, tokens: tuple[int, int], passes: Passes, seconds: float, peak: int) -> None:
        """Add an outer step over so many tokens of support and of query sets; `peak` in bytes, so far."""
        support, query = tokens
        self.steps += 1
        self.tokens += passes.support * support + passes.query * query
        self.seconds += seconds
        self.peak_bytes = max(self.peak_bytes, peak)
        on_support = PASS * passes.support + HESSIAN_PRODUCT * passes.hessian_products
        self.flops += float(FORWARD * weights * (on_support * support + PASS * passes.query * query))

    def to_dict(self) -> dict[str, Any]:
        """Return it by name."""
        return asdict(self)


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


def cost_of(path: Path) -> Cost:
    """Read what the training of another run has cost; nothing, where it has kept no account.

    Args:
        path: its `cost.json`.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return Cost()
    found = read_costs(path).meta_train
    return Cost() if found is None else Cost(**found.model_dump())
