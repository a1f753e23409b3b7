"""The interface of engines, which compute the meta-gradient and adapt to one task."""

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
    """The inner loop: the descent on the support loss, and the weights of the query losses.

    Attributes:
        lr: the inner learning rate, alpha.
        steps: number of inner steps.
        first_order: treat the inner gradients as constants in the meta-gradient (Finn et al. 2017, section 5.2).
        adapted: names of the parameters that the inner loop changes; None for all trainable ones.
        rates: learning rates by parameter name for each step, instead of `lr` (Li et al. 2017, Meta-SGD,
            arXiv:1707.09835); their shapes broadcast to the parameters'. Later steps use those of the last. Every
            adapted parameter has one.
        rule: updates the parameters, given their gradients.
        query_weights: weights of the query losses after 0, 1, ..., `steps` steps in the outer loss (Antoniou et
            al. 2019, multi-step loss, arXiv:1810.09502); None for only that after the last step.
        support_objective: loss of the inner loop; None for that of the outer loop.
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
        """Return the index in `rates` of a step."""
        return 0 if self.rates is None else min(step, len(self.rates) - 1)

    def rate(self, name: str, step: int) -> float | Tensor:
        """Return the learning rate of a parameter at a step."""
        return self.lr if self.rates is None else self.rates[self.rates_at(step)][name]

    def query_weight(self, after: int) -> float:
        """Return the weight of the query loss after a number of steps."""
        if self.query_weights is None:
            return float(after == self.steps)
        return self.query_weights[after]


@dataclass(frozen=True, slots=True)
class MetaGradient:
    """The meta-gradient of one meta-batch, with its losses.

    Attributes:
        loss: the outer objective, the (weighted) query losses reduced over tasks, scalar, nats.
        support_losses: support loss of each task before its first inner step, `[tasks]`, nats.
        query_losses: query loss of each task after its last inner step, `[tasks]`, nats.
        gradients: derivative of `loss` with respect to each trainable parameter, in the order of `model.parameters()`.
        rate_gradients: derivative of `loss` with respect to each of the inner loop's `rates`, in the same structure.
        rule_gradients: derivative of `loss` with respect to the `learned` tensors of the inner rule, in the same order.
    """

    loss: Tensor
    support_losses: Tensor
    query_losses: Tensor
    gradients: tuple[Tensor, ...]
    rate_gradients: tuple[Mapping[str, Tensor], ...] = ()
    rule_gradients: tuple[Tensor, ...] = ()


class Engine(Protocol):
    """Computes the meta-gradient; all engines give the same one.

    If an engine has `graphs` (`metadialog.engines.graphs.Graphs`), joint training and evaluation use them too.

    An engine that also supports algorithms with their own inner loop, such as those of learn2learn, has an attribute
    `takes_any_loop = True`. An engine that chooses among others has a method `settle` and an attribute `chosen`, like
    `metadialog.engines.auto.AutoEngine`.

    Attributes:
        name: name in configs and records.
    """

    name: str

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Check before training that the inner loop can be differentiated.

        Args:
            model: may be on the device "meta".
            objective: the outer loss.
            inner: the inner loop.

        Raises:
            ConfigError: it cannot be differentiated.
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
        """Differentiate the query losses after adaptation with respect to the parameters before adaptation.

        The model's parameters and their `.grad` do not change.
        """
        ...

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `inner.steps` inner steps, without keeping a graph.

        All steps yield the same copy of the model, which the next step changes; the model itself does not change.
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
