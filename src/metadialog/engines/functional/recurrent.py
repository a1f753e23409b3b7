"""Recurrent layers with hand-written derivatives."""

# ruff: noqa: ARG002 - all operations have the same signature

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from metadialog.engines.functional.affine import one_for_all
from metadialog.engines.functional.written_out import Operation, Tangents, Tensors, call
from metadialog.engines.stacked.affine import MATRIX, outer, product, total, transposed
from metadialog.engines.stacked.cell import Cell, Cotangent, States, Trace
from metadialog.engines.stacked.elman import ElmanCell
from metadialog.engines.stacked.gru import GRUCell, GRUTrace
from metadialog.engines.stacked.lstm import LSTMCell, LSTMCotangent, LSTMTrace


class RecurrentLayer(Operation):
    """A `Cell` over time: from the input's part of the pre-activations to the states.

    Inputs are `gi`, `[tasks, time, rows, gates * hidden]`, `W_hh` and `b_hh`, and the initial states, `[tasks, rows,
    hidden]`, with the cell state for an LSTM. Outputs are the states after each token, `[tasks, time, rows, hidden]`,
    and for an LSTM the cell states.

    Attributes:
        cell: the cell.
        trace: type of the values that it keeps.
        cotangent: type of the results of its backward pass.
        carried: number of tensors carried from token to token.
    """

    weights = frozenset({1, 2})
    rank = 3

    def __init__(self, cell: Cell[Any, Any, Any], trace: type[Trace], cotangent: type[Cotangent], carried: int) -> None:
        self.cell = cell
        self.trace = trace
        self.cotangent = cotangent
        self.outputs = carried

    def forward(
        self, gi: Tensor, weight: Tensor, bias: Tensor, *start: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See `Operation.forward`."""
        trace = self.cell.forward(gi, one_for_all(weight), bias, start)
        outputs = (trace.outputs,) if self.outputs == 1 else (trace.outputs, trace.cells[:, 1:])
        return outputs, _tensors(trace)

    def backward(
        self, inputs: Sequence[Any], kept: Sequence[Tensor], cotangents: Tensors, wanted: Sequence[bool]
    ) -> tuple[Tensors, tuple[Tensor, ...]]:
        """See `Operation.backward`."""
        _, weight, bias, *_ = inputs
        trace = self.trace(*kept)
        matrix = one_for_all(weight)
        by_outputs, by_cells = self._by_outputs(trace, cotangents)
        result = self.cell.backward(trace, matrix, by_outputs, by_cells)
        flat = result.gh.flatten(1, 2)
        return (
            result.gi,
            outer(flat, trace.previous.flatten(1, 2), summed=weight.dim() == MATRIX) if wanted[1] else None,
            total(flat, summed=bias.dim() == 1) if wanted[2] else None,
            *(self.cell.by_start(trace, matrix, result) if any(wanted[3:]) else (None,) * self.outputs),
        ), _tensors(result)

    def tangent(self, inputs: Sequence[Any], kept: Sequence[Tensor], along: Tensors) -> tuple[Tensors, Any]:
        """See `Operation.tangent`."""
        trace, matrix = self.trace(*kept), one_for_all(inputs[1])
        d_gi, d_weight, d_bias, *d_start = along
        start: States | None = None
        if any(value is not None for value in d_start):
            first = torch.zeros_like(trace.previous[:, 0])
            start = tuple(first if value is None else value for value in d_start)
        if d_gi is None and d_weight is None and d_bias is None and start is None:
            return (None,) * self.outputs, None
        shape = inputs[0].shape
        gh = (
            inputs[0].new_zeros(shape)
            if d_weight is None
            else product(trace.previous.flatten(1, 2), d_weight).view(shape)
        )
        if d_bias is not None:
            gh += d_bias if d_bias.dim() == 1 else d_bias[:, None, None]
        if start is not None:
            gh[:, 0] += product(start[0], matrix)
        outputs, tangent = self.cell.tangent(
            trace, matrix, torch.zeros_like(gh) if d_gi is None else d_gi.contiguous(), gh, start
        )
        cells = (tangent.cells,) if self.outputs > 1 else ()
        return (outputs, *cells), (tangent, outputs, start)

    def backward_tangent(
        self,
        inputs: Sequence[Any],
        kept: Sequence[Tensor],
        cotangents: Tensors,
        kept_back: Sequence[Tensor],
        tangents: Tangents,
        wanted: Sequence[bool],
    ) -> Tensors:
        """See `Operation.backward_tangent`."""
        _, weight, bias, *_ = inputs
        trace, matrix, cotangent = self.trace(*kept), one_for_all(weight), self.cotangent(*kept_back)
        tangent, d_outputs, d_start = tangents.state or (None, None, None)
        d_weight = tangents.inputs[1]
        by_outputs, by_cells = self._by_outputs(trace, tangents.cotangents)
        states = None
        if d_weight is not None:
            states = transposed(cotangent.gh.flatten(1, 2), d_weight).view_as(by_outputs)
        result = self.cell.backward_tangent(trace, tangent, matrix, cotangent, by_outputs, states, by_cells)
        flat, summed = result.gh.flatten(1, 2), weight.dim() == MATRIX
        by_weight = None
        if wanted[1]:
            by_weight = outer(flat, trace.previous.flatten(1, 2), summed=summed)
            if d_outputs is not None:
                first = torch.zeros_like(d_outputs[:, :1]) if d_start is None else d_start[0][:, None]
                before = torch.cat([first, d_outputs[:, :-1]], 1).flatten(1, 2)
                by_weight += outer(cotangent.gh.flatten(1, 2), before, summed=summed)
        by_start: Tensors = (None,) * self.outputs
        if any(wanted[3:]):
            by_start = self.cell.by_start_tangent(trace, tangent, matrix, cotangent, result, states)
        return result.gi, by_weight, total(flat, summed=bias.dim() == 1) if wanted[2] else None, *by_start

    def _by_outputs(self, trace: Trace, values: Tensors) -> tuple[Tensor, Tensor | None]:
        """Return the part for the states, zeros if there is none, and the part for the cell states."""
        states = values[0]
        return torch.zeros_like(trace.outputs) if states is None else states, values[1] if len(values) > 1 else None


def _tensors(of: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - a dataclass of tensors
    return tuple(getattr(of, part.name) for part in fields(of))


LAYERS = {
    "RNN_TANH": RecurrentLayer(ElmanCell(), Trace, Cotangent, 1),
    "GRU": RecurrentLayer(GRUCell(), GRUTrace, Cotangent, 1),
    "LSTM": RecurrentLayer(LSTMCell(), LSTMTrace, LSTMCotangent, 2),
}


def recurrent_layer(
    mode: str, gi: Tensor, weight: Tensor, bias: Tensor | None, starts: Sequence[Tensor]
) -> list[Tensor] | None:
    """Return a layer's states, `[time, rows, hidden]`, and for an LSTM its cell states; None for an unknown kind.

    Args:
        mode: name of the kind in torch.
        gi: the input's part of the pre-activations, `[time, rows, gates * hidden]`.
        weight: `W_hh`.
        bias: `b_hh`.
        starts: the states to start from, `[rows, hidden]`.
    """
    if mode not in LAYERS or bias is None:
        return None
    return list(call(LAYERS[mode], gi, weight, bias, *starts))
