"""Long short-term memory: `i, f, o = sigmoid(gi + gh)`, `g = tanh(gi + gh)`, `c' = f c + i g`, `h' = o tanh(c')`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metadialog.engines.stacked.affine import add_transposed, affine, plus, product, transposed
from metadialog.engines.stacked.cell import Cell, Cotangent, States, Trace, shifted

INTO_CELL = 3
"""The first three gates, i, f and g, act on the cell state; the last, o, on the output."""


@dataclass(slots=True)
class LSTMTrace(Trace):
    """The values kept of a forward pass.

    Attributes:
        cells: the cell states with the zero state before the first, `[tasks, time + 1, batch, hidden]`.
        gates: i, f, g and o, `[tasks, time, batch, 4, hidden]`.
        squashed: `tanh(c')`, `[tasks, time, batch, hidden]`.
        by_gates: derivative of c' with respect to the pre-activations of i, f, g, and of h' with respect to that of o;
            shape of `gates`.
        by_cell: derivative of h' with respect to c', `[tasks, time, batch, hidden]`.
    """

    cells: Tensor
    gates: Tensor
    squashed: Tensor
    by_gates: Tensor
    by_cell: Tensor


@dataclass(slots=True)
class LSTMTangent:
    """Tangents of a trace's cells after each token, of its forget gate, and of `by_gates` and `by_cell`."""

    cells: Tensor
    forget: Tensor
    by_gates: Tensor
    by_cell: Tensor


@dataclass(slots=True)
class LSTMCotangent(Cotangent):
    """A cotangent with the derivative of each cell state, `[tasks, time, batch, hidden]`."""

    cells: Tensor


class LSTMCell(Cell[LSTMTrace, LSTMTangent, LSTMCotangent]):
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000, as `torch.nn.LSTM`."""

    gates = 4

    def forward(self, gi: Tensor, weight: Tensor, bias: Tensor, start: States | None = None) -> LSTMTrace:
        """See `Cell.forward`."""
        tasks, time, batch, width = gi.shape
        hidden = width // 4
        states, cells = (gi.new_zeros(tasks, time + 1, batch, hidden) for _ in range(2))
        if start is not None:
            states[:, 0], cells[:, 0] = start
        gates = gi.new_empty(tasks, time, batch, 4, hidden)
        squashed = gi.new_empty(tasks, time, batch, hidden)
        for step in range(time):
            pre = affine(states[:, step], weight, bias).add_(gi[:, step]).view(tasks, batch, 4, hidden)
            now = gates[:, step]
            torch.sigmoid(pre, out=now)
            torch.tanh(pre[:, :, 2], out=now[:, :, 2])
            torch.mul(now[:, :, 1], cells[:, step], out=cells[:, step + 1]).addcmul_(now[:, :, 0], now[:, :, 2])
            torch.tanh(cells[:, step + 1], out=squashed[:, step])
            torch.mul(now[:, :, 3], squashed[:, step], out=states[:, step + 1])
        slopes = _slopes(gates)
        by_gates = slopes * _partners(gates, cells[:, :-1], squashed)
        by_cell = gates[..., 3, :] * (1 - squashed.square())
        return LSTMTrace(states, cells, gates, squashed, by_gates, by_cell)

    def backward(self, trace: LSTMTrace, weight: Tensor, outputs: Tensor, cells: Tensor | None = None) -> LSTMCotangent:
        """See `Cell.backward`."""
        return _back(trace, weight, outputs, cells, None)

    def by_start(self, trace: LSTMTrace, weight: Tensor, cotangent: LSTMCotangent) -> States:
        """See `Cell.by_start`."""
        return transposed(cotangent.gh[:, 0], weight), cotangent.cells[:, 0] * trace.gates[:, 0, :, 1]

    def tangent(
        self, trace: LSTMTrace, weight: Tensor, gi: Tensor | None, gh: Tensor, start: States | None = None
    ) -> tuple[Tensor, LSTMTangent]:
        """See `Cell.tangent`."""
        tasks, time, batch, hidden = trace.squashed.shape
        pre = plus(gi, gh).reshape(tasks, time, batch, 4, hidden).clone()  # becomes the tangent of the pre-activations
        states, cells = (torch.zeros_like(trace.states) for _ in range(2))
        if start is not None:
            cells[:, 0] = start[1]
        forget = trace.gates[..., 1, :]
        for step in range(time):
            if step:
                pre[:, step] += product(states[:, step], weight).view(tasks, batch, 4, hidden)
            moved = trace.by_gates[:, step] * pre[:, step]
            now = torch.sum(moved[:, :, :INTO_CELL], 2)
            torch.addcmul(now, forget[:, step], cells[:, step], out=cells[:, step + 1])
            torch.addcmul(moved[:, :, 3], trace.by_cell[:, step], cells[:, step + 1], out=states[:, step + 1])
        return states[:, 1:], _trace_tangent(trace, cells, pre)

    def backward_tangent(
        self,
        trace: LSTMTrace,
        tangent: LSTMTangent | None,
        weight: Tensor,
        cotangent: LSTMCotangent,
        outputs: Tensor,
        states: Tensor | None,
        cells: Tensor | None = None,
    ) -> LSTMCotangent:
        """See `Cell.backward_tangent`."""
        sources = outputs if states is None else outputs + shifted(states)
        if tangent is None:
            return _back(trace, weight, sources, cells, None)
        carried = shifted(cotangent.cells * tangent.forget).addcmul_(cotangent.states, tangent.by_cell)
        cells = carried if cells is None else carried.add_(cells)
        gates = torch.empty_like(tangent.by_gates)
        torch.mul(cotangent.cells[..., None, :], tangent.by_gates[..., :INTO_CELL, :], out=gates[..., :INTO_CELL, :])
        torch.mul(cotangent.states, tangent.by_gates[..., 3, :], out=gates[..., 3, :])
        return _back(trace, weight, sources, cells, gates)

    def by_start_tangent(
        self,
        trace: LSTMTrace,
        tangent: LSTMTangent | None,
        weight: Tensor,
        cotangent: LSTMCotangent,
        result: LSTMCotangent,
        states: Tensor | None,
    ) -> States:
        """See `Cell.by_start_tangent`."""
        state, cell = self.by_start(trace, weight, result)
        if tangent is not None:
            cell.addcmul_(cotangent.cells[:, 0], tangent.forget[:, 0])
        return state if states is None else state.add_(states[:, 0]), cell


def _slopes(gates: Tensor) -> Tensor:
    """Return the derivative of each gate with respect to its pre-activation."""
    slopes = gates * (1 - gates)
    slopes[..., 2, :] = 1 - gates[..., 2, :].square()
    return slopes


def _partners(gates: Tensor, cells: Tensor, squashed: Tensor) -> Tensor:
    """Return the factor of each gate: g, c, i and tanh(c')."""
    return torch.stack([gates[..., 2, :], cells, gates[..., 0, :], squashed], -2)


def _trace_tangent(trace: LSTMTrace, cells: Tensor, pre: Tensor) -> LSTMTangent:
    """Differentiate the coefficients, for all time steps at once.

    Args:
        trace: trace of the forward pass.
        cells: tangent of the cell states, `[tasks, time + 1, batch, hidden]`.
        pre: tangent of the pre-activations, `[tasks, time, batch, 4, hidden]`.
    """
    gates, squashed = trace.gates, trace.squashed
    slopes = _slopes(gates)
    d_gates = slopes * pre
    bends = d_gates * (1 - 2 * gates)  # tangent of the slopes
    bends[..., 2, :] = -2 * gates[..., 2, :] * d_gates[..., 2, :]
    flat = 1 - squashed.square()
    d_squashed = flat * cells[:, 1:]
    d_by_gates = slopes * _partners(d_gates, cells[:, :-1], d_squashed)
    d_by_gates += bends * _partners(gates, trace.cells[:, :-1], squashed)
    d_by_cell = (d_gates[..., 3, :] * flat).addcmul_(gates[..., 3, :] * squashed, d_squashed, value=-2)
    return LSTMTangent(cells[:, 1:], d_gates[..., 1, :], d_by_gates, d_by_cell)


def _back(
    trace: LSTMTrace, weight: Tensor, sources: Tensor, cell_sources: Tensor | None, gate_sources: Tensor | None
) -> LSTMCotangent:
    """Backpropagate through time, from the derivatives of the outputs and additional terms of cells and gates."""
    tasks, time, batch, hidden = trace.squashed.shape
    states, cells = torch.empty_like(trace.squashed), torch.empty_like(trace.squashed)
    result = torch.empty_like(trace.gates)
    forget = trace.gates[..., 1, :]
    now = sources[:, time - 1]
    for step in reversed(range(time)):
        states[:, step] = now
        cell = torch.mul(now, trace.by_cell[:, step], out=cells[:, step])
        if step < time - 1:
            cell.addcmul_(cells[:, step + 1], forget[:, step + 1])
        if cell_sources is not None:
            cell += cell_sources[:, step]
        by_gates, gates = trace.by_gates[:, step], result[:, step]
        torch.mul(cell[:, :, None], by_gates[:, :, :INTO_CELL], out=gates[:, :, :INTO_CELL])
        torch.mul(now, by_gates[:, :, 3], out=gates[:, :, 3])
        if gate_sources is not None:
            gates += gate_sources[:, step]
        if step:
            now = add_transposed(sources[:, step - 1], gates.view(tasks, batch, 4 * hidden), weight)
    flat = result.view(tasks, time, batch, 4 * hidden)
    return LSTMCotangent(states, flat, flat, cells)
