"""The meta-gradient as a sweep: down the inner loop with gradients, back up with Hessian-vector products.

With `theta_{k+1} = theta_k - rate * g(theta_k)` and `v_K = grad L(theta_K; query)`, the meta-gradient is `v_0` of
`v_k = v_{k+1} - H(theta_k) (rate * v_{k+1})`, where `H` is the Hessian of the support loss: reverse mode over the
inner loop, written out (Maclaurin et al. 2015; Kemaev et al. 2025, MixFlow-MG, for the product forward over reverse).
Parameters that the inner loop leaves alone collect `-H(theta_k) (rate * v_{k+1})` on the way, beside their part of
the query's gradient; a rate collects `-v_{k+1} * g(theta_k)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from metadialog.engines.base import InnerLoop, support_of
from metadialog.engines.stacked import dropout
from metadialog.engines.stacked.network import Pass, StackedDialogModel, Wanted, Weights
from metadialog.engines.stacked.tasks import StackedBatch, stack, touched_rows
from metadialog.engines.stacked.trajectory import Trajectory
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds

EMBEDDING = "embed.weight"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of the way down is kept for the way up.

    Attributes:
        tapes: of every step, rather than of the last one alone.
        weights: how many of the weights between the first and the last step.
    """

    tapes: bool
    weights: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep over some tasks yields.

    Attributes:
        support_losses: before the first step, `[tasks]`, nats.
        query_losses: after the last, `[tasks]`, nats.
        gradients: by each trainable parameter, summed over the tasks.
        rate_gradients: by each rate, summed over the tasks.
    """

    support_losses: Tensor
    query_losses: Tensor
    gradients: dict[str, Tensor]
    rate_gradients: dict[str, Tensor]


class Sweep:
    """The two levels of some tasks at once.

    Args:
        model: the initialisation.
        episodes: the tasks.
        inner: the inner loop.
        keeping: what is kept.
        seeds: of the meta-batch.
    """

    def __init__(
        self,
        model: DialogModel,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        keeping: Keeping,
        seeds: TaskSeeds,
    ) -> None:
        self.inner = inner
        self.keeping = keeping
        self.network = StackedDialogModel(model)
        known = dict.fromkeys(self.network.names())
        self.start = {name: p.detach() for name, p in model.named_parameters() if name in known}
        trainable = [name for name, p in model.named_parameters() if p.requires_grad and name in known]
        self.adapted = [name for name in trainable if inner.adapts(name)]
        self.others = [name for name in trainable if not inner.adapts(name)]
        self.rates = {name: inner.rate(name) for name in self.adapted}
        supports, queries = [support_of(episode) for episode in episodes], [episode.query for episode in episodes]
        self.rows: Tensor | None = None
        tokens = [[batch.inputs for batch in supports], [batch.inputs for batch in queries]]
        if not self.network.tied:
            self.rows, tokens = self._touched(supports, queries)
        dtype = model.linear.weight.dtype
        self.support, self.query = stack(supports, tokens[0], dtype), stack(queries, tokens[1], dtype)
        passes = [*[supports] * max(1, inner.steps), queries]
        self.masks = dropout.draw(model, passes, seeds, [episode.index for episode in episodes])

    def _touched(self, supports: Sequence[Batch], queries: Sequence[Batch]) -> tuple[Tensor, list[list[Tensor]]]:
        """Reduce the embedding, and its rates, to the rows that each task uses: the others' gradient is zero."""
        rows, tokens = touched_rows(list(zip(supports, queries, strict=True)), len(self.start[EMBEDDING]))
        self.size = self.start[EMBEDDING].shape
        self.start[EMBEDDING] = self.start[EMBEDDING][rows]  # [tasks, ids, embedding]
        rate = self.rates.get(EMBEDDING)
        if isinstance(rate, Tensor) and rate.dim() == len(self.size) and rate.shape[0] == self.size[0]:
            self.rates[EMBEDDING] = rate[rows]
        return rows, [list(of_set) for of_set in zip(*tokens, strict=True)]

    def run(self) -> Swept:
        """Compute the losses, and the gradients of the sum of the query losses."""
        weights, first, kept = self._down()
        # What the way up does not need of each task comes summed over the tasks.
        query = self._pass(-1, weights, self.query, self._wanted(summed=not self._goes_up))
        losses, gradients = query.losses, query.gradients
        del weights, query  # large, and not needed any more
        rate_gradients = self._up(gradients, kept) if self._goes_up else {}
        totals = {name: self._total(name, gradient) for name, gradient in gradients.items()}
        return Swept(first, losses, totals, rate_gradients)

    @property
    def _goes_up(self) -> bool:
        return self.inner.steps > 0 and (self.inner.rates is not None or not self.inner.first_order)

    def _wanted(self, *, summed: bool) -> Wanted:
        """Want the gradient by every parameter; by those that the inner loop adapts of each task, if not summed."""
        local = {EMBEDDING} if self.rows is not None else set()  # rows of different tasks do not add up
        return {
            **{name: summed and name not in local for name in self.adapted},
            **{name: name not in local for name in self.others},
        }

    def _pass(self, step: int, weights: Weights, batch: StackedBatch, wanted: Wanted) -> Pass:
        return self.network.gradient(weights, batch, self.masks[step], wanted)

    def _inner_pass(self, step: int, weights: Weights) -> Pass:
        return self._pass(step, weights, self.support, dict.fromkeys(self.adapted, False))

    def _descend(self, weights: Weights, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take an inner step; the gradients are used up, unless the rates' own gradients need them."""
        after = dict(weights)
        for name, gradient in gradients.items():
            if self.inner.rates is None:
                after[name] = gradient.mul_(-self.inner.lr).add_(weights[name])
            else:
                after[name] = weights[name] - self.rates[name] * gradient
        if self.inner.rates is None:
            gradients.clear()
        return after

    def _down(self) -> tuple[Weights, Tensor, "Kept"]:
        """Go through the inner loop.

        Returns:
            The weights after it, the support losses before it, and what the way up needs.
        """
        steps = self.inner.steps
        kept = Kept(Trajectory(self.start, self._advance, self.keeping.weights))
        if steps == 0:
            return self.start, self._pass(0, self.start, self.support, {}).losses, kept
        weights: Weights = self.start
        losses = []
        for step in range(steps):
            now = self._inner_pass(step, weights)
            losses.append(now.losses)
            before, weights = weights, self._descend(weights, now.gradients)
            if self._goes_up and (self.keeping.tapes or step == steps - 1):
                kept.passes[step] = (before, now)
            elif self._goes_up:
                kept.trajectory.keep(step, before, steps)
        return weights, losses[0], kept

    def _advance(self, step: int, weights: Weights) -> Weights:
        return self._descend(weights, self._inner_pass(step, weights).gradients)

    def _up(self, gradients: dict[str, Tensor], kept: "Kept") -> dict[str, Tensor]:
        """Take the query's gradients back to the start, in place, and return those of the rates."""
        by_rates: dict[str, Tensor] = {}
        spare: Weights | None = None
        for step in reversed(range(self.inner.steps)):
            if step in kept.passes:
                weights, now = kept.passes.pop(step)
            else:
                weights = kept.trajectory.before(step)
                recorded = self.adapted if self.inner.rates is not None else []
                now = self._pass(step, weights, self.support, dict.fromkeys(recorded, False))
            if self.inner.rates is not None:
                self._collect_rates(self.inner.rates, by_rates, gradients, now.gradients)
            if not self.inner.first_order:
                spare = self._through_step(gradients, weights, now, spare, first=step == 0)
        return by_rates

    def _through_step(
        self, gradients: dict[str, Tensor], weights: Weights, now: Pass, spare: Weights | None, *, first: bool
    ) -> dict[str, Tensor]:
        """Subtract the Hessian times the direction, and return the product.

        Before the first step the sum over the tasks is enough.
        """
        direction = {name: gradients[name] for name in self.adapted}
        scale = self.inner.lr
        if self.inner.rates is not None:
            direction = {name: self.rates[name] * value for name, value in direction.items()}
            scale = 1.0
        found = self.network.hessian_product(weights, now.tape, direction, self._wanted(summed=first), spare)
        for name, part in found.items():
            if gradients[name].dim() > part.dim():
                gradients[name] = gradients[name].sum(0)
            gradients[name].sub_(part, alpha=scale)
        return found

    def _collect_rates(
        self,
        rates: Mapping[str, Tensor],
        by_rates: dict[str, Tensor],
        cotangents: dict[str, Tensor],
        gradients: dict[str, Tensor],
    ) -> None:
        """Add a step's part of the derivatives by the rates."""
        for name, gradient in gradients.items():
            rate = rates[name]
            product = -(cotangents[name] * gradient)
            by_row = name == EMBEDDING and self.rates[name] is not rate
            part = (self._total(name, product) if by_row else product.sum(0)).sum_to_size(rate.shape)
            by_rates[name] = by_rates[name] + part if name in by_rates else part

    def _total(self, name: str, value: Tensor) -> Tensor:
        """Return a derivative summed over the tasks, in the shape of the parameter."""
        if name == EMBEDDING and self.rows is not None:
            return value.new_zeros(self.size).index_add_(0, self.rows.flatten(), value.flatten(0, 1))
        return value.sum(0) if value.dim() > self.start[name].dim() else value


@dataclass(frozen=True, slots=True)
class Kept:
    """What the way up needs of the way down.

    Attributes:
        trajectory: gives the weights before those steps that are not in `passes`.
        passes: the weights before a step and its pass, by step.
    """

    trajectory: Trajectory
    passes: dict[int, tuple[Weights, Pass]] = field(default_factory=dict)
