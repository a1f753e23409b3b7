"""Whether shapes inside a model may depend on the values of tokens: not where several tasks go through in one pass."""

from contextvars import ContextVar
from typing import NamedTuple


class Bounds(NamedTuple):
    """The most turns of a stream, and the most tokens of a turn."""

    turns: int
    length: int


bounds_of_turns: ContextVar[Bounds | None] = ContextVar("bounds_of_turns", default=None)
"""What turns are laid out in; None for what the streams at hand take."""


def are_static() -> bool:
    """Tell whether shapes may not depend on the values of tokens."""
    return bounds_of_turns.get() is not None
