"""Estimates of the time of a meta-step from two measured numbers for each way of computing.

A meta-step takes `recurrent steps * seconds per step + floating-point operations / rate`: the sequential part of the
recurrent layers, and the matrix products. Both numbers are fitted to the medians of
`experiments/cost_of_maml` (GRU, widths 16 to 256, 1 to 64 tasks, 1 to 10 inner steps, 2 cores of a CPU), most of which
they match within a third. Machines differ, but the choice depends only on the ratio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from metadialog.engines.base import InnerLoop, support_of
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel

# A forward pass costs one unit of arithmetic, a backward pass two, and their tangents twice as much.
_PASS, _HESSIAN_PRODUCT = 3, 6
# A pass goes through the recurrent layers forward and backward, and so do their tangents.
_SWEEPS = 2
_GATES = {"RNN_TANH": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True, slots=True)
class Speed:
    """The measured speed of a way of computing.

    Attributes:
        step: seconds per step of a recurrent layer, for any number of tasks at once.
        rate: floating-point operations per second.
    """

    step: float
    rate: float


ONE_TASK = Speed(step=2.0e-4, rate=6.5e10)
"""learn2learn's loop, one task after another."""
STACKED = Speed(step=2.1e-4, rate=8.3e10)
"""Several tasks at once."""


@dataclass(frozen=True, slots=True)
class Work:
    """The amount of computation of a meta-batch.

    Attributes:
        support: operations of a forward pass over all support sets.
        query: the same for the query sets.
        support_steps: recurrent steps of a forward pass over the longest support set.
        query_steps: the same for the query sets.
    """

    support: float
    query: float
    support_steps: int
    query_steps: int

    def seconds(self, speed: Speed, inner: InnerLoop, *, rounds: int, recomputed: bool) -> float:
        """Return the time of a meta-step.

        Args:
            speed: speed of the way of computing.
            inner: the inner loop.
            rounds: number of parts that the tasks are divided into, each of which runs all recurrent steps.
            recomputed: whether each inner step except the last is computed again in the backward sweep.
        """
        again = max(0, inner.steps - 1) if recomputed else 0
        passes, products = inner.steps + again, 0 if inner.first_order else inner.steps
        operations = self.support * (_PASS * passes + _HESSIAN_PRODUCT * products) + self.query * _PASS
        steps = _SWEEPS * ((passes + products) * self.support_steps + self.query_steps)
        return rounds * steps * speed.step + operations / speed.rate


def work_of(model: DialogModel, episodes: Sequence[Episode]) -> Work:
    """Count the computation of a meta-batch."""
    supports = [support_of(episode) for episode in episodes]
    queries = [episode.query for episode in episodes]
    return Work(
        sum(_operations(model, batch) for batch in supports),
        sum(_operations(model, batch) for batch in queries),
        *(model.rnn.num_layers * max(batch.inputs.shape[1] for batch in sets) for sets in (supports, queries)),
    )


def _operations(model: DialogModel, batch: Batch) -> float:
    """Count the multiplications and additions of the matrix products in a forward pass over a batch."""
    rnn, tokens, counted = model.rnn, batch.inputs.numel(), int(batch.mask.sum())
    widths = [rnn.input_size, *[rnn.hidden_size] * (rnn.num_layers - 1)]
    recurrent = sum(_GATES[rnn.mode] * rnn.hidden_size * (width + rnn.hidden_size) for width in widths)
    projected = model.project.weight.numel() if isinstance(model.project, nn.Linear) else 0
    return 2.0 * (tokens * recurrent + counted * (projected + model.linear.weight.numel()))
