"""What every engine does: compute the meta-gradient of the two-level objective, and adapt to one task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from metadialog.episodes import Batch, Episode
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN

Reduction = Literal["mean", "sum"]
Objective = Callable[[nn.Module, Batch], Tensor]
"""Maps (model, batch) to a scalar loss: mean token negative log-likelihood, in nats."""


@dataclass(frozen=True, slots=True)
class InnerLoop:
    """The descent on the support loss, and what of it the outer loss is made of.

    Attributes:
        lr: the inner learning rate, alpha.
        steps: number of inner steps.
        first_order: take the inner gradients as constants in the meta-gradient (Finn et al. 2017, section 5.2).
        adapted: names of the parameters that the inner loop changes; None for all that are trainable.
        rates: learning rates by name of parameter, each of a shape that broadcasts to the parameter's, in place of
            `lr` (Li et al. 2017, Meta-SGD, arXiv:1707.09835), for each step; steps beyond have those of the last.
            Every adapted parameter has one.
        rule: how the parameters change, given their gradients.
        query_weights: how much the query loss after 0, 1, ..., `steps` steps counts in the outer loss (Antoniou et
            al. 2019, multi-step loss, arXiv:1810.09502); None: that after the last step, once.
        support_objective: the loss that the inner loop descends on; None: the outer one.
    """

    lr: float
    steps: int
    first_order: bool = False
    adapted: frozenset[str] | None = None
    rates: tuple[Mapping[str, Tensor], ...] | None = None
    rule: InnerRule = PLAIN
    query_weights: tuple[float, ...] | None = None
    support_objective: Objective | None = None

    def __post_init__(self) -> None:
        weights = self.query_weights
        if weights is not None and (len(weights) != self.steps + 1 or weights[-1] == 0):
            raise ValueError(
                f"query_weights={weights}: there should be one for 0, 1, ..., {self.steps} steps, and the last not zero"
            )

    def adapts(self, name: str) -> bool:
        """Tell whether the inner loop changes a (trainable) parameter."""
        return self.adapted is None or name in self.adapted

    def rates_at(self, step: int) -> int:
        """Return which of the `rates` a step has."""
        return 0 if self.rates is None else min(step, len(self.rates) - 1)

    def rate(self, name: str, step: int) -> float | Tensor:
        """Return the learning rate of a parameter in a step."""
        return self.lr if self.rates is None else self.rates[self.rates_at(step)][name]

    def query_weight(self, after: int) -> float:
        """Return how much the query loss after some steps counts."""
        if self.query_weights is None:
            return float(after == self.steps)
        return self.query_weights[after]


@dataclass(frozen=True, slots=True)
class MetaGradient:
    """What one meta-batch yields.

    Attributes:
        loss: the outer objective, the (weighted) query losses reduced over tasks, scalar, nats.
        support_losses: support loss of each task before its first inner step, `[tasks]`, nats.
        query_losses: query loss of each task after its last inner step, `[tasks]`, nats.
        gradients: derivative of `loss` by each trainable parameter, in the order of `model.parameters()`.
        rate_gradients: derivative of `loss` by each of the inner loop's `rates`, arranged as they are.
        rule_gradients: derivative of `loss` by what the inner rule has `learned`, in its order.
    """

    loss: Tensor
    support_losses: Tensor
    query_losses: Tensor
    gradients: tuple[Tensor, ...]
    rate_gradients: tuple[Mapping[str, Tensor], ...] = ()
    rule_gradients: tuple[Tensor, ...] = ()


class Engine(Protocol):
    """How the meta-gradient is computed; all engines give the same one.

    Where one has `graphs` (`metadialog.engines.graphs.Graphs`), joint training and adaptation in evaluation use them.

    An engine that leaves the inner loop to algorithms that compute their own, as those of learn2learn do, has an
    attribute `takes_any_loop = True`. One that chooses among others has a method `settle` and an attribute `chosen`, as
    `metadialog.engines.auto.AutoEngine` has.

    Attributes:
        name: the name in configs and records.
    """

    name: str

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Check, before anything starts, that the inner loop can be differentiated.

        Args:
            model: may be on the device "meta".
            objective: the outer loss.
            inner: the inner loop.

        Raises:
            ConfigError: it cannot.
        """
        ...

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Differentiate the query losses after adaptation by the parameters before adaptation.

        The model's parameters and their `.grad` stay as they are.
        """
        ...

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `inner.steps` inner steps, without keeping a graph.

        What is yielded is one copy that the next step changes; the model itself stays as it is.
        """
        ...


def support_of(episode: Episode) -> Batch:
    """Return the support set.

    Raises:
        ValueError: there is none.
    """
    if episode.support is None:
        raise ValueError(f"the episode of topic {episode.topic!r} has no support set to adapt on")
    return episode.support
