"""The meta-gradient as a sweep: forward through the inner loop, backward with Hessian-vector products.

With `theta_{k+1} = theta_k - rate * g(theta_k)` and `v_K = grad L(theta_K; query)`, the meta-gradient is `v_0` of
`v_k = v_{k+1} - H(theta_k) (rate * v_{k+1})`, where `H` is the Hessian of the support loss: reverse mode over the
inner loop (Maclaurin et al. 2015; Kemaev et al. 2025, MixFlow-MG, for the product forward over reverse).

The gradient of a parameter that is not adapted accumulates `-H(theta_k) (rate * v_{k+1})` in addition to its part of
the query's gradient; that of a rate accumulates `-v_{k+1} * g(theta_k)`. If the query loss after step k also counts,
its gradient at `theta_k` is added to `v_k`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.utils._pytree import register_dataclass

from metadialog.engines.base import InnerLoop
from metadialog.engines.stacked.network import Pass, StackedDialogModel, Wanted, Weights
from metadialog.engines.stacked.prepared import Sets
from metadialog.engines.stacked.trajectory import Trajectory
from metadialog.models.rnn import DialogModel

EMBEDDING = "embed.weight"
RateKey = tuple[int, str]
"""Index in the inner loop's rates, and name of the parameter."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the forward sweep keeps for the backward sweep.

    Attributes:
        tapes: whether to keep the tape of every step, rather than only of the last.
        weights: number of weights kept between the first and the last step.
    """

    tapes: bool
    weights: int


@dataclass(frozen=True, slots=True)
class Swept:
    """The results of a sweep over tasks.

    Attributes:
        support_losses: support losses before the first step, `[tasks]`, nats.
        outer_losses: the weighted query losses, `[tasks]`, nats.
        query_losses: query losses after the last step, `[tasks]`, nats.
        gradients: gradients of the trainable parameters, summed over the tasks.
        rate_gradients: gradients of each rate of each step, summed over the tasks.
    """

    support_losses: Tensor
    outer_losses: Tensor
    query_losses: Tensor
    gradients: dict[str, Tensor]
    rate_gradients: dict[RateKey, Tensor]


register_dataclass(Swept)


class Sweep:
    """The two levels of several tasks at once.

    Args:
        model: the model, whose structure and trainable parameters are used.
        inner: the inner loop.
        keeping: what to keep.
        sets: the tasks.
        start: parameters of the initialisation by name; None for those of the model.
    """

    def __init__(
        self,
        model: DialogModel,
        inner: InnerLoop,
        keeping: Keeping,
        sets: Sets,
        start: Weights | None = None,
    ) -> None:
        self.inner = inner
        self.keeping = keeping
        self.network = StackedDialogModel(model)
        known = dict.fromkeys(self.network.names())
        parameters = {name: p for name, p in model.named_parameters() if name in known}
        self.start = {name: p.detach() for name, p in parameters.items()} if start is None else dict(start)
        self.adapted = [name for name, p in parameters.items() if p.requires_grad and inner.adapts(name)]
        self.others = [name for name, p in parameters.items() if p.requires_grad and not inner.adapts(name)]
        self.rates = {
            (step, name): rates[name] for step, rates in enumerate(inner.rates or ()) for name in self.adapted
        }
        self.support, self.query, self.rows, self.masks = sets.support, sets.query, sets.rows, sets.masks
        if self.rows is not None:
            self._cut_down(self.rows)

    def _cut_down(self, rows: Tensor) -> None:
        """Reduce the embedding and its rates to the rows that each task uses, as the others have no gradient."""
        self.size = self.start[EMBEDDING].shape
        self.start[EMBEDDING] = self.start[EMBEDDING][rows]  # [tasks, ids, embedding]
        for (step, name), rate in self.rates.items():
            by_row = rate.dim() == len(self.size) and rate.shape[0] == self.size[0]
            if name == EMBEDDING and by_row:
                self.rates[step, name] = rate[rows]

    def run(self) -> Swept:
        """Compute the losses, and the gradients of the sum of the query losses."""
        weights, first, kept = self._down()
        # Gradients that the backward sweep does not need per task are summed over the tasks.
        steps = self.inner.steps
        query = self._query_pass(steps, weights, summed=not self._goes_up)
        query_losses, gradients = query.losses, query.gradients
        del weights, query  # large and no longer needed
        outer = self.inner.query_weight(steps) * query_losses
        if (last := self.inner.query_weight(steps)) != 1:
            for gradient in gradients.values():
                gradient.mul_(last)
        rate_gradients: dict[RateKey, Tensor] = {}
        if self._goes_up:
            outer, rate_gradients = self._up(outer, gradients, kept)
        totals = {name: self._total(name, gradient) for name, gradient in gradients.items()}
        return Swept(first, outer, query_losses, totals, rate_gradients)

    @property
    def _goes_up(self) -> bool:
        several = self.inner.rates is not None or self.inner.query_weights is not None
        return self.inner.steps > 0 and (several or not self.inner.first_order)

    def _wanted(self, *, summed: bool) -> Wanted:
        """Request the gradients of all parameters; per task for adapted ones, unless `summed`."""
        local = {EMBEDDING} if self.rows is not None else set()  # rows of different tasks do not add up
        return {
            **{name: summed and name not in local for name in self.adapted},
            **{name: name not in local for name in self.others},
        }

    def _query_pass(self, after: int, weights: Weights, *, summed: bool) -> Pass:
        return self.network.gradient(weights, self.query, self.masks["query", after], self._wanted(summed=summed))

    def _support_pass(self, step: int, weights: Weights, differentiated: Sequence[str]) -> Pass:
        """Run over the support sets, and differentiate with respect to some parameters of each task."""
        wanted = dict.fromkeys(differentiated, False)
        return self.network.gradient(weights, self.support, self.masks["support", step], wanted)

    def _descend(self, step: int, weights: Weights, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take an inner step; the gradients are overwritten, unless the rates' gradients need them."""
        after = dict(weights)
        for name, gradient in gradients.items():
            if self.inner.rates is None:
                after[name] = gradient.mul_(-self.inner.lr).add_(weights[name])
            else:
                after[name] = weights[name] - self.rates[self.inner.rates_at(step), name] * gradient
        if self.inner.rates is None:
            gradients.clear()
        return after

    def _down(self) -> tuple[Weights, Tensor, "Kept"]:
        """Run the inner loop forward.

        Returns:
            The weights after it, the support losses before it, and the values for the backward sweep.
        """
        steps = self.inner.steps
        kept = Kept(Trajectory(self.start, self.advance, self.keeping.weights))
        if steps == 0:
            return self.start, self._support_pass(0, self.start, ()).losses, kept
        weights: Weights = self.start
        losses = []
        for step in range(steps):
            now = self._support_pass(step, weights, self.adapted)
            losses.append(now.losses)
            before, weights = weights, self._descend(step, weights, now.gradients)
            if self._goes_up and (self.keeping.tapes or step == steps - 1):
                kept.passes[step] = (before, now)
            elif self._goes_up:
                kept.trajectory.keep(step, before, steps)
        return weights, losses[0], kept

    def advance(self, step: int, weights: Weights) -> Weights:
        """Return the weights after an inner step."""
        return self._descend(step, weights, self._support_pass(step, weights, self.adapted).gradients)

    def _up(self, outer: Tensor, gradients: dict[str, Tensor], kept: "Kept") -> tuple[Tensor, dict[RateKey, Tensor]]:
        """Backpropagate the query's gradients to the initialisation, in place.

        Returns:
            The outer losses including those of earlier steps, and the gradients of the rates.
        """
        by_rates: dict[RateKey, Tensor] = {}
        spare: Weights | None = None
        for step in reversed(range(self.inner.steps)):
            if step in kept.passes:
                weights, now = kept.passes.pop(step)
            else:
                weights = kept.trajectory.before(step)
                now = self._support_pass(step, weights, self.adapted if self.inner.rates is not None else ())
            if self.inner.rates is not None:
                self._collect_rates(self.inner.rates, step, by_rates, gradients, now.gradients)
            if not self.inner.first_order:
                spare = self._through_step(step, gradients, weights, now, spare)
            if weight := self.inner.query_weight(step):
                outer = outer + weight * self._add_query(step, weight, weights, gradients)
        return outer, by_rates

    def _add_query(self, after: int, weight: float, weights: Weights, gradients: dict[str, Tensor]) -> Tensor:
        """Add the gradient of the query loss after a number of steps, and return the loss."""
        query = self._query_pass(after, weights, summed=after == 0)
        for name, part in query.gradients.items():
            _add(gradients, name, part, weight)
        return query.losses

    def _through_step(
        self, step: int, gradients: dict[str, Tensor], weights: Weights, now: Pass, spare: Weights | None
    ) -> dict[str, Tensor]:
        """Subtract the Hessian times the direction, and return the product.

        Before the first step, only the sum over the tasks is computed.
        """
        direction = {name: gradients[name] for name in self.adapted}
        scale = self.inner.lr
        if self.inner.rates is not None:
            at = self.inner.rates_at(step)
            direction = {name: self.rates[at, name] * value for name, value in direction.items()}
            scale = 1.0
        result = self.network.hessian_product(weights, now.tape, direction, self._wanted(summed=step == 0), spare)
        for name, part in result.items():
            _add(gradients, name, part, -scale)
        return result

    def _collect_rates(
        self,
        rates: Sequence[Mapping[str, Tensor]],
        step: int,
        by_rates: dict[RateKey, Tensor],
        cotangents: dict[str, Tensor],
        gradients: dict[str, Tensor],
    ) -> None:
        """Add a step's part of the derivatives of the rates."""
        at = self.inner.rates_at(step)
        for name, gradient in gradients.items():
            rate = rates[at][name]
            product = -(cotangents[name] * gradient)
            by_row = name == EMBEDDING and self.rates[at, name] is not rate
            part = (self._total(name, product) if by_row else product.sum(0)).sum_to_size(rate.shape)
            key = (at, name)
            by_rates[key] = by_rates[key] + part if key in by_rates else part

    def _total(self, name: str, value: Tensor) -> Tensor:
        """Return a derivative summed over the tasks, in the shape of the parameter."""
        if name == EMBEDDING and self.rows is not None:
            return value.new_zeros(self.size).index_add_(0, self.rows.flatten(), value.flatten(0, 1))
        return value.sum(0) if value.dim() > self.start[name].dim() else value


def _add(gradients: dict[str, Tensor], name: str, part: Tensor, weight: float) -> None:
    """Add to a gradient, in place; a part that is summed over the tasks is added to the sum."""
    if gradients[name].dim() > part.dim():
        gradients[name] = gradients[name].sum(0)
    gradients[name].add_(part, alpha=weight)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the forward sweep has kept for the backward sweep.

    Attributes:
        trajectory: supplies the weights before the steps that are not in `passes`.
        passes: weights before a step and its pass, by step.
    """

    trajectory: Trajectory[Weights]
    passes: dict[int, tuple[Weights, Pass]] = field(default_factory=dict)
