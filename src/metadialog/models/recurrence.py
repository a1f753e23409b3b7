"""Recurrent layers over rows of different lengths, and their states."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from metadialog.models.cells import scan

Hidden = Tensor | tuple[Tensor, Tensor]
"""State of a recurrent layer, `[layers, batch, hidden]`; for an LSTM the pair of state and cell."""

State = Tensor | tuple["State", ...]
"""State of a model: tensors `[any, batch, any]`, nested in tuples.

The first dimension may grow with the tokens read; a row with fewer tokens is padded with zeros.
"""

Cell = Literal["rnn", "gru", "lstm"]
CELLS: dict[str, type[nn.RNN | nn.GRU | nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def recurrent(cell: Cell, inputs: int, hidden: int, layers: int, dropout: float) -> nn.RNN | nn.GRU | nn.LSTM:
    """Create stacked recurrent layers.

    Args:
        cell: type of the layers.
        inputs: width of the inputs.
        hidden: width of the states.
        layers: number of layers.
        dropout: probability of dropping a unit between two of them.
    """
    between = dropout if layers > 1 else 0.0  # torch warns about dropout with a single layer
    return CELLS[cell](inputs, hidden, layers, batch_first=True, dropout=between)


def map_hidden(change: Callable[..., Tensor], *hidden: Hidden) -> Hidden:
    """Apply a function to the tensors of states of the same structure."""
    first = hidden[0]
    if isinstance(first, Tensor):
        return change(*hidden)
    states, cells = zip(*hidden, strict=True)
    return change(*states), change(*cells)


def top(hidden: Hidden) -> Tensor:
    """Return the last state of the top layer, `[batch, hidden]`."""
    return (hidden if isinstance(hidden, Tensor) else hidden[0])[-1]


def run(rnn: nn.RNNBase, inputs: Tensor, lengths: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
    """Run recurrent layers over rows of different lengths.

    Args:
        rnn: the layers, batch first.
        inputs: `[rows, time, inputs]`.
        lengths: length of each row, `[rows]`; 0 leaves its state unchanged.
        hidden: initial states, `[layers, rows, hidden]`.

    Returns:
        The outputs, `[rows, time, hidden]`, zero after a row's end, and the states at the rows' ends.
    """
    if are_static():
        return scan(rnn, inputs, hidden, lengths)
    if bool((lengths == inputs.shape[1]).all()):  # no packing, which `vmap` does not support
        whole: tuple[Tensor, Hidden] = rnn(inputs, hidden)
        return whole
    read = lengths.nonzero()[:, 0]  # torch cannot pack empty rows
    outputs = inputs.new_zeros(*inputs.shape[:2], top(hidden).shape[-1])
    if not len(read):
        return outputs, hidden
    packed = pack_padded_sequence(inputs[read], lengths[read].cpu(), batch_first=True, enforce_sorted=False)
    result, after = rnn(packed, map_hidden(lambda state: state[:, read], hidden))
    padded, _ = pad_packed_sequence(result, batch_first=True, total_length=inputs.shape[1])
    hidden = map_hidden(lambda new, old: old.index_copy(1, read, new), after, hidden)
    return outputs.index_copy(0, read, padded), hidden


class Bridge(nn.Module):
    """Maps a vector to the initial state of recurrent layers: `tanh(W v + b)` for each layer.

    Bahdanau et al. 2015 (arXiv:1409.0473), appendix A.2.2, and Serban et al. 2016 (arXiv:1507.04808), section 3.

    Args:
        width: width of the vector.
        rnn: the layers.
    """

    def __init__(self, width: int, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.shape = (2 if isinstance(rnn, nn.LSTM) else 1, rnn.num_layers, rnn.hidden_size)
        kinds, layers, hidden = self.shape
        self.linear = nn.Linear(width, kinds * layers * hidden)

    def forward(self, vectors: Tensor) -> Hidden:
        """Return states `[layers, rows, hidden]` for vectors `[rows, width]`."""
        states = torch.tanh(self.linear(vectors)).view(len(vectors), *self.shape).permute(1, 2, 0, 3).contiguous()
        return states[0] if len(states) == 1 else (states[0], states[1])


class Bounds(NamedTuple):
    """The maximum numbers of turns of a stream, and of tokens of a turn."""

    turns: int
    length: int


bounds_of_turns: ContextVar[Bounds | None] = ContextVar("bounds_of_turns", default=None)
"""Static bounds of the layout of turns; None to use those of the current streams."""


def are_static() -> bool:
    """Tell whether shapes must not depend on the values of tokens."""
    return bounds_of_turns.get() is not None
