"""The interface of recurrent cells: four passes over time, two of them linear.

A recurrent layer computes `gi = x @ W_ih.T + b_ih` for all time steps at once, and then, step by step,
`gh = h @ W_hh.T + b_hh` and the gates' nonlinearities. `gates` counts the pre-activations of a unit.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor


@dataclass(slots=True)
class Trace:
    """The values that a cell keeps of a forward pass, `[tasks, time, batch, hidden]` unless stated otherwise.

    Attributes:
        states: the hidden states with the zero state before the first, `[tasks, time + 1, batch, hidden]`.
    """

    states: Tensor

    @property
    def outputs(self) -> Tensor:
        """The state after each token."""
        return self.states[:, 1:]

    @property
    def previous(self) -> Tensor:
        """The state before each token."""
        return self.states[:, :-1]


@dataclass(slots=True)
class Cotangent:
    """The results of a backward pass.

    Attributes:
        states: derivative of the loss with respect to each state, over all paths, `[tasks, time, batch, hidden]`.
        gi: derivative with respect to the input's part of the pre-activations, `[tasks, time, batch, gates * hidden]`.
        gh: the same for the recurrent part; the same tensor if the cell only adds the two.
    """

    states: Tensor
    gi: Tensor
    gh: Tensor


States = tuple[Tensor, ...]
"""The values carried from token to token, `[tasks, batch, hidden]` each: the state, and for an LSTM the cell state."""

T = TypeVar("T", bound=Trace)
D = TypeVar("D")
C = TypeVar("C", bound="Cotangent")


class Cell(Protocol[T, D, C]):
    """A recurrent cell with its derivatives; `T` is its trace, `D` the trace's tangent, `C` its cotangent.

    `weight` is `W_hh`, shared `[gates * hidden, hidden]` or stacked `[tasks, ...]`.
    """

    gates: int

    def forward(self, gi: Tensor, weight: Tensor, bias: Tensor, start: States | None = None) -> T:
        """Run over time from the given states; None for zeros."""
        ...

    def backward(self, trace: T, weight: Tensor, outputs: Tensor, cells: Tensor | None = None) -> C:
        """Backpropagate the derivative of the outputs, `[tasks, time, batch, hidden]`, through time.

        `cells` is the derivative of the cell states, if anything other than the outputs depends on them.
        """
        ...

    def by_start(self, trace: T, weight: Tensor, cotangent: C) -> States:
        """Return the derivative with respect to the states that `forward` started from."""
        ...

    def tangent(
        self, trace: T, weight: Tensor, gi: Tensor | None, gh: Tensor, start: States | None = None
    ) -> tuple[Tensor, D]:
        """Differentiate the forward pass in a direction.

        Args:
            trace: trace of the forward pass.
            weight: `W_hh`.
            gi: tangent of the input's part of the pre-activations; None for zero.
            gh: part of the tangent of the recurrent part that comes from the direction's `W_hh` and `b_hh`, and at the
                first token from the direction's initial states.
            start: tangents of the initial states; None for zero.

        Returns:
            The tangent of the outputs, and the values that `backward_tangent` needs.
        """
        ...

    def backward_tangent(
        self,
        trace: T,
        tangent: D | None,
        weight: Tensor,
        cotangent: C,
        outputs: Tensor,
        states: Tensor | None,
        cells: Tensor | None = None,
    ) -> C:
        """Differentiate the backward pass in a direction.

        Args:
            trace: trace of the forward pass.
            tangent: tangent of the trace; None for zero.
            weight: `W_hh`.
            cotangent: result of the backward pass.
            outputs: tangent of the derivative of the outputs.
            states: part of the tangent of the derivative of `trace.previous` that comes from the direction's `W_hh`.
            cells: tangent of the derivative of the cell states, if anything other than the outputs depends on them.
        """
        ...

    def by_start_tangent(
        self, trace: T, tangent: D | None, weight: Tensor, cotangent: C, result: C, states: Tensor | None
    ) -> States:
        """Differentiate `by_start` in a direction; `result` is the result of `backward_tangent`."""
        ...


def shifted(sources: Tensor) -> Tensor:
    """Shift values by one token to the left, and append zeros."""
    moved = torch.zeros_like(sources)
    moved[:, :-1] = sources[:, 1:]
    return moved
