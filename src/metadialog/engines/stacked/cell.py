"""What the recurrent cells have in common: four passes over time, two of them linear.

A recurrent layer computes `gi = x @ W_ih.T + b_ih` for all time steps at once, and then, step by step,
`gh = h @ W_hh.T + b_hh` and the gates' nonlinearities. `gates` counts the pre-activations of a unit.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor


@dataclass(slots=True)
class Trace:
    """What a cell keeps of a forward pass; `[tasks, time, batch, hidden]` unless said.

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
    """What a backward pass yields.

    Attributes:
        states: derivative of the loss by each state, all paths summed, `[tasks, time, batch, hidden]`.
        gi: by the input's part of the pre-activations, `[tasks, time, batch, gates * hidden]`.
        gh: by the recurrent part, same shape; the same tensor where the cell only adds the two.
    """

    states: Tensor
    gi: Tensor
    gh: Tensor


States = tuple[Tensor, ...]
"""What a cell carries from token to token, `[tasks, batch, hidden]` each: the state, and for an LSTM the cell state."""

T = TypeVar("T", bound=Trace)
D = TypeVar("D")
C = TypeVar("C", bound="Cotangent")


class Cell(Protocol[T, D, C]):
    """A recurrent cell with its derivatives; `T` is its trace, `D` the trace's tangent, `C` its cotangent.

    `weight` is `W_hh`, shared `[gates * hidden, hidden]` or stacked `[tasks, ...]`.
    """

    gates: int

    def forward(self, gi: Tensor, weight: Tensor, bias: Tensor, start: States | None = None) -> T:
        """Run over time from some states; None for zeros."""
        ...

    def backward(self, trace: T, weight: Tensor, outputs: Tensor, cells: Tensor | None = None) -> C:
        """Take the derivative by the outputs, `[tasks, time, batch, hidden]`, back through time.

        `cells` is that by the cell states, if anything beside the outputs depends on them.
        """
        ...

    def by_start(self, trace: T, weight: Tensor, cotangent: C) -> States:
        """Return the derivative by the states that `forward` started from."""
        ...

    def tangent(
        self, trace: T, weight: Tensor, gi: Tensor | None, gh: Tensor, start: States | None = None
    ) -> tuple[Tensor, D]:
        """Differentiate the forward pass in a direction.

        Args:
            trace: of the forward pass.
            weight: `W_hh`.
            gi: tangent of the input's part of the pre-activations; None for zero.
            gh: tangent of the recurrent part as far as it comes from the direction's own `W_hh` and `b_hh`, and at the
                first token through `W_hh` from the direction's own start.
            start: tangents of the states that were started from; None for zero.

        Returns:
            The tangent of the outputs, and what `backward_tangent` needs.
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
            trace: of the forward pass.
            tangent: of the trace; None for zero.
            weight: `W_hh`.
            cotangent: of the backward pass.
            outputs: tangent of the derivative by the outputs.
            states: tangent of the derivative by `trace.previous` as far as it comes from the direction's `W_hh`.
            cells: tangent of the derivative by the cell states, if anything beside the outputs depends on them.
        """
        ...

    def by_start_tangent(
        self, trace: T, tangent: D | None, weight: Tensor, cotangent: C, result: C, states: Tensor | None
    ) -> States:
        """Differentiate `by_start` in a direction; `result` is what `backward_tangent` has returned."""
        ...


def shifted(sources: Tensor) -> Tensor:
    """Move what belongs to the state before a token to the token before; what came before the first is dropped."""
    moved = torch.zeros_like(sources)
    moved[:, :-1] = sources[:, 1:]
    return moved
