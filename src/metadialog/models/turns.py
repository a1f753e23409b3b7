"""The layout of turns in streams of tokens, for models that process turns separately."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from metadialog.models.protocol import BaseModel, read_at_once
from metadialog.models.recurrence import Bounds, Hidden, State, bounds_of_turns, map_hidden
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID


@contextmanager
def static_turns(tokens: Tensor) -> Iterator[None]:
    """Use the same layout shapes for the turns of all given streams, `[streams, time]`, within the context.

    This allows several streams with their own parameters to be computed in one pass by `torch.func.vmap`, in which
    shapes must not depend on the values of tokens.
    """
    turns = Turns.of(tokens)
    token = bounds_of_turns.set(Bounds(*turns.at.shape[1:]))
    try:
        yield
    finally:
        bounds_of_turns.reset(token)


@dataclass(frozen=True, slots=True)
class Turns:
    """The positions of the tokens of streams in a layout with one row per turn.

    A turn begins with its marker, `<self>` or `<other>`. Turn 0 is everything before the first marker: the rest of a
    turn from an earlier part of the stream, or `<begin>` and the rest of a truncated context. Padding, which is at the
    end, belongs to no turn.

    Attributes:
        number: turn of each token, `[batch, time]`.
        position: position of each token in its turn, `[batch, time]`; for padding, that of the last token.
        at: time of each token of each turn, `[batch, turns, length]`; 0 if there is none.
        lengths: number of tokens of each turn, `[batch, turns]`.
    """

    number: Tensor
    position: Tensor
    at: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, tokens: Tensor) -> Self:
        """Find the turns in token ids, `[batch, time]`."""
        read = tokens != PAD_ID
        number = ((tokens == SELF_ID) | (tokens == OTHER_ID)).cumsum(1)
        bounds = bounds_of_turns.get()
        turns = int(number[:, -1].max()) + 1 if bounds is None else bounds.turns
        lengths = tokens.new_zeros(len(tokens), turns).scatter_add(1, number, read.long())
        length = max(1, int(lengths.max())) if bounds is None else bounds.length
        before = lengths.cumsum(1) - lengths  # [batch, turns], tokens of the turns before
        position = (read.cumsum(1) - 1 - before.gather(1, number)).clamp(min=0)
        nowhere = turns * length  # index for padding
        times = torch.arange(tokens.shape[1], device=tokens.device).expand(len(tokens), -1)
        laid_out = torch.where(read, number * length + position, nowhere)
        at = tokens.new_zeros(len(tokens), nowhere + 1).scatter(1, laid_out, times)[:, :nowhere]
        at = at.reshape(len(tokens), turns, length)
        return cls(number, position, at, lengths)

    @property
    def read(self) -> Tensor:
        """Number of tokens of each stream, `[batch]`."""
        return self.lengths.sum(1)

    @property
    def last(self) -> Tensor:
        """Number of each stream's last turn, `[batch]`, which may be unfinished."""
        return self.number[:, -1]

    def lay_out(self, values: Tensor) -> Tensor:
        """Rearrange values of the tokens, `[batch, time, width]`, by turn, `[batch * turns, length, width]`."""
        result: Tensor = values[self._rows(3), self.at].flatten(0, 1)
        return result

    def put_back(self, values: Tensor) -> Tensor:
        """Rearrange values by turn, `[batch * turns, length, width]`, by token, `[batch, time, width]`."""
        return self.by_turn(values)[self._rows(2), self.number, self.position]

    def at_begin(self, values: Tensor) -> Tensor:
        """Return the values of each turn's first token, `[batch, turns, width]`."""
        return values[self._rows(2), self.at[:, :, 0]]

    def by_turn(self, values: Tensor) -> Tensor:
        """Return `[batch * turns, ...]` as `[batch, turns, ...]`."""
        return values.view(*self.lengths.shape, *values.shape[1:])

    def after_last(self, hidden: Hidden) -> Hidden:
        """Return the states after the last turn, `[layers, batch, hidden]`, of `[layers, batch * turns, hidden]`."""
        rows = self._rows(1)
        return map_hidden(lambda state: self._of_turns(state)[:, rows, self.last], hidden)

    def starting(self, going_on: Hidden, new: Hidden) -> Hidden:
        """Return the initial states of the turns.

        Args:
            going_on: states of the continued turn, turn 0, `[layers, batch, hidden]`.
            new: states of all turns, `[layers, batch * turns, hidden]`; those of turn 0 are not used.

        Returns:
            The states `[layers, batch * turns, hidden]`.
        """

        def join(old: Tensor, states: Tensor) -> Tensor:
            later = self._of_turns(states)[:, :, 1:]
            return torch.cat([old[:, :, None], later], dim=2).flatten(1, 2)

        return map_hidden(join, going_on, new)

    def _of_turns(self, state: Tensor) -> Tensor:
        """Return `[layers, batch * turns, hidden]` as `[layers, batch, turns, hidden]`."""
        return state.view(len(state), *self.lengths.shape, -1)

    def _rows(self, dimensions: int) -> Tensor:
        rows = torch.arange(len(self.at), device=self.at.device)
        return rows.view(-1, *[1] * (dimensions - 1))


class TurnsModel(BaseModel):
    """The base class of models that see the turns of a dialogue, and ignore padding."""

    @property
    def reads_at_once(self) -> bool:
        """True, as padding is ignored; see `BaseModel.reads_at_once`."""
        return True

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts in one pass, as padding is ignored; see `DialogueModel.read`."""
        return read_at_once(self, tokens, lengths, state)

    def static_shapes(self, tokens: Tensor) -> AbstractContextManager[None]:
        """Use static shapes for several streams, `[streams, time]`, within the context; see `static_turns`."""
        return static_turns(tokens)
