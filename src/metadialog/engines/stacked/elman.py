"""The Elman cell: `h' = tanh(gi + gh)`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metadialog.engines.stacked.affine import add_transposed, affine, plus, product, transposed
from metadialog.engines.stacked.cell import Cell, Cotangent, States, Trace, shifted


@dataclass(slots=True)
class ElmanTangent:
    """Tangent of a trace: of the slope `1 - h'^2`, `[tasks, time, batch, hidden]`."""

    slope: Tensor


class ElmanCell(Cell[Trace, ElmanTangent, Cotangent]):
    """Elman 1990, with tanh, as `torch.nn.RNN`."""

    gates = 1

    def forward(self, gi: Tensor, weight: Tensor, bias: Tensor, start: States | None = None) -> Trace:
        """See `Cell.forward`."""
        tasks, time, batch, hidden = gi.shape
        states = gi.new_zeros(tasks, time + 1, batch, hidden)
        if start is not None:
            states[:, 0] = start[0]
        for step in range(time):
            torch.tanh(affine(states[:, step], weight, bias).add_(gi[:, step]), out=states[:, step + 1])
        return Trace(states)

    def backward(self, trace: Trace, weight: Tensor, outputs: Tensor, cells: Tensor | None = None) -> Cotangent:  # noqa: ARG002 - it has none
        """See `Cell.backward`."""
        return _back(_slope(trace), weight, outputs, None)

    def by_start(self, trace: Trace, weight: Tensor, cotangent: Cotangent) -> States:  # noqa: ARG002 - same signature for all cells
        """See `Cell.by_start`."""
        return (transposed(cotangent.gh[:, 0], weight),)

    def tangent(
        self,
        trace: Trace,
        weight: Tensor,
        gi: Tensor | None,
        gh: Tensor,
        start: States | None = None,  # noqa: ARG002 - in `gh`
    ) -> tuple[Tensor, ElmanTangent]:
        """See `Cell.tangent`."""
        slope = _slope(trace)
        source = plus(gi, gh)
        result = torch.empty_like(source)
        torch.mul(slope[:, 0], source[:, 0], out=result[:, 0])
        for step in range(1, source.shape[1]):
            torch.mul(slope[:, step], source[:, step] + product(result[:, step - 1], weight), out=result[:, step])
        return result, ElmanTangent((-2 * trace.outputs).mul_(result))

    def backward_tangent(
        self,
        trace: Trace,
        tangent: ElmanTangent | None,
        weight: Tensor,
        cotangent: Cotangent,
        outputs: Tensor,
        states: Tensor | None,
        cells: Tensor | None = None,  # noqa: ARG002 - it has none
    ) -> Cotangent:
        """See `Cell.backward_tangent`."""
        sources = outputs if states is None else outputs + shifted(states)
        return _back(_slope(trace), weight, sources, None if tangent is None else cotangent.states * tangent.slope)

    def by_start_tangent(
        self,
        trace: Trace,
        tangent: ElmanTangent | None,  # noqa: ARG002 - same signature for all cells
        weight: Tensor,
        cotangent: Cotangent,  # noqa: ARG002
        result: Cotangent,
        states: Tensor | None,
    ) -> States:
        """See `Cell.by_start_tangent`."""
        (total,) = self.by_start(trace, weight, result)
        return (total if states is None else total.add_(states[:, 0]),)


def _slope(trace: Trace) -> Tensor:
    return 1 - trace.outputs.square()


def _back(slope: Tensor, weight: Tensor, sources: Tensor, pre: Tensor | None) -> Cotangent:
    """Backpropagate through time: `dgh = slope * dh + pre`, `dh_before = source + dgh @ W`."""
    states, gates = torch.empty_like(slope), torch.empty_like(slope)
    for step in reversed(range(slope.shape[1])):
        if step == slope.shape[1] - 1:
            states[:, step] = sources[:, step]
        else:
            states[:, step] = add_transposed(sources[:, step], gates[:, step + 1], weight)
        torch.mul(states[:, step], slope[:, step], out=gates[:, step])
        if pre is not None:
            gates[:, step] += pre[:, step]
    return Cotangent(states, gates, gates)
