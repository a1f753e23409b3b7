"""Recurrent layers made of basic operations, with derivatives of every order and support for `torch.func.vmap`.

torch's own layers have no second derivative in cuDNN, no forward-mode derivative, and do not support `vmap`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import PackedSequence

from metadialog.errors import ConfigError

Hidden = Tensor | tuple[Tensor, Tensor]
MATRIX = 2
_Step = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""Maps pre-activations of the input and of the state, and other carried values, to the new state and carried values."""


def scan(
    rnn: nn.RNNBase, inputs: Tensor, hidden: Hidden | None = None, lengths: Tensor | None = None
) -> tuple[Tensor, Hidden]:
    """Run recurrent layers like `rnn(inputs, hidden)`.

    Args:
        rnn: an `nn.RNN`, `nn.GRU` or `nn.LSTM` in one direction.
        inputs: `[rows, time, inputs]`, regardless of `batch_first`.
        hidden: initial state, `[layers, rows, hidden]`, for an LSTM the pair of state and cell; None for zeros.
        lengths: length of each row, `[rows]`; None for all of `time`. 0 leaves a row's state unchanged.

    Returns:
        The outputs, `[rows, time, hidden]`, zero after a row's end, and the states at the rows' ends.

    Raises:
        ConfigError: the layers are of another kind.
    """
    _check(rnn)
    firsts = _pair(hidden, rnn, inputs)
    x = inputs.transpose(0, 1)  # [time, rows, inputs]
    ends: list[list[Tensor]] = [[] for _ in firsts]
    for layer in range(rnn.num_layers):
        if layer and rnn.training and rnn.dropout:
            x = dropout(x, rnn.dropout)
        starts = [first[layer] for first in firsts]
        traces = _layer(rnn, layer, x, starts)
        x = traces[0]
        for index, (trace, start) in enumerate(zip(traces, starts, strict=True)):
            ends[index].append(_at_end(trace, start, lengths))
    outputs = x.transpose(0, 1)
    if lengths is not None:
        read = torch.arange(inputs.shape[1], device=inputs.device) < lengths[:, None]  # [rows, time]
        outputs = outputs * read[..., None]
    after = [torch.stack(of_layers) for of_layers in ends]
    return outputs, after[0] if len(after) == 1 else (after[0], after[1])


def _layer(rnn: nn.RNNBase, layer: int, x: Tensor, starts: list[Tensor]) -> list[Tensor]:
    """Return the states of a layer at each time, `[time, rows, hidden]`, and for an LSTM its cells."""
    weights = [getattr(rnn, f"{kind}_l{layer}", None) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    w_ih, w_hh, b_ih, b_hh = weights
    assert w_ih is not None  # noqa: S101 - every layer has its matrices
    assert w_hh is not None  # noqa: S101
    ways = _ways.get()
    of_all = ways.linear(x, w_ih, b_ih)  # for all times at once
    if ways.recurrence is not None and (traces := ways.recurrence(rnn.mode, of_all, w_hh, b_hh, starts)) is not None:
        return traces
    step, given = _STEPS[rnn.mode], of_all.unbind(0)
    state, carried = starts[0], starts[1] if len(starts) > 1 else None
    states, cells = [], []
    for now in given:
        state, carried = step(now, linear(state, w_hh, b_hh), state if carried is None else carried)
        states.append(state)
        if carried is not None:
            cells.append(carried)
    return [torch.stack(states), torch.stack(cells)] if cells else [torch.stack(states)]


def flat_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `x @ weight.T + bias` of inputs `[..., in]` as one matrix product.

    It stays one product per task under `vmap`, which would otherwise repeat a task's weights for each leading
    dimension.
    """
    if x.dim() <= MATRIX:
        return linear(x, weight, bias)
    return linear(x.reshape(-1, x.shape[-1]), weight, bias).reshape(*x.shape[:-1], weight.shape[0])


def _tanh(given: Tensor, recurrent: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    return torch.tanh(given + recurrent), None


def _relu(given: Tensor, recurrent: Tensor, _: Tensor | None) -> tuple[Tensor, None]:
    return torch.relu(given + recurrent), None


def _gru(given: Tensor, recurrent: Tensor, state: Tensor | None) -> tuple[Tensor, None]:
    assert state is not None  # noqa: S101 - the state before
    width = state.shape[-1]
    gates = torch.sigmoid(given[..., : 2 * width] + recurrent[..., : 2 * width])
    reset, update = gates[..., :width], gates[..., width:]
    candidate = torch.tanh(torch.addcmul(given[..., 2 * width :], reset, recurrent[..., 2 * width :]))
    return torch.lerp(candidate, state, update), None


def _lstm(given: Tensor, recurrent: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    assert cell is not None  # noqa: S101 - an LSTM carries it
    into, keep, new, out = (given + recurrent).chunk(4, -1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(into) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


_STEPS: dict[str, _Step] = {"RNN_TANH": _tanh, "RNN_RELU": _relu, "GRU": _gru, "LSTM": _lstm}


def _at_end(trace: Tensor, start: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the values at each row's end, `[rows, hidden]`, which for a row of length 0 are the initial ones."""
    if lengths is None:
        return trace[-1]
    at = (lengths - 1).clamp(min=0)[None, :, None].expand(1, *trace.shape[1:])
    return torch.where((lengths > 0)[:, None], trace.gather(0, at)[0], start)


def _pair(hidden: Hidden | None, rnn: nn.RNNBase, inputs: Tensor) -> tuple[Tensor, ...]:
    if hidden is None:
        nothing = inputs.new_zeros(rnn.num_layers, inputs.shape[0], rnn.hidden_size)
        return (nothing, nothing) if rnn.mode == "LSTM" else (nothing,)
    return (hidden,) if isinstance(hidden, Tensor) else hidden


def _check(rnn: nn.RNNBase) -> None:
    if rnn.mode not in _STEPS or rnn.bidirectional or rnn.proj_size:
        raise ConfigError(
            f"{type(rnn).__name__}: as basic operations, such layers should be unidirectional and have no projection"
        )


def _forward(rnn: nn.RNNBase, inputs: Tensor, hidden: Hidden | None = None) -> tuple[Tensor, Hidden]:
    """Replacement of a layer's `forward`."""
    if isinstance(inputs, PackedSequence):
        raise RuntimeError("vmap: rows of different lengths are packed")
    outputs, after = scan(rnn, inputs if rnn.batch_first else inputs.transpose(0, 1), hidden, _lengths.get())
    return outputs if rnn.batch_first else outputs.transpose(0, 1), after


_lengths: ContextVar[Tensor | None] = ContextVar("lengths", default=None)


@contextmanager
def reading(lengths: Tensor) -> Iterator[None]:
    """Within the context, stop recurrent layers of `plain_layers` at each row's length, `[rows]`."""
    token = _lengths.set(lengths)
    try:
        yield
    finally:
        _lengths.reset(token)


class Ways(NamedTuple):
    """Implementations of layers.

    Attributes:
        linear: maps inputs `[..., in]`, weight and bias to outputs.
        recurrence: maps the kind of a recurrent layer, the input's part of its pre-activations, `[time, rows, gates *
            hidden]`, its recurrent weight and bias, and its initial states to its states at each time; returns None for
            an unknown kind.
    """

    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor] = flat_linear
    recurrence: Callable[[str, Tensor, Tensor, Tensor | None, list[Tensor]], list[Tensor] | None] | None = None


_ways: ContextVar[Ways] = ContextVar("ways", default=Ways())  # noqa: B039 - it cannot be changed


def _linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    return _ways.get().linear(inputs, layer.weight, layer.bias)


@contextmanager
def plain_layers(model: nn.Module, ways: Ways | None = None) -> Iterator[None]:
    """Replace the recurrent and linear layers of a model within the context by implementations that support `vmap`.

    Args:
        model: the model.
        ways: implementations; None for basic operations.
    """
    token = _ways.set(ways or Ways())
    layers: list[tuple[nn.Module, Callable[..., object]]] = []
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            layers.append((part, _forward))
        elif type(part) is nn.Linear:
            layers.append((part, _linear))
    for layer, forward in layers:
        layer.forward = partial(forward, layer)
    try:
        yield
    finally:
        _ways.reset(token)
        for layer, _ in layers:
            del layer.forward
