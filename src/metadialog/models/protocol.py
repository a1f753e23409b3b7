"""The interface of dialogue models, and a base class with defaults for most of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from metadialog.errors import ConfigError
from metadialog.models.recurrence import State
from metadialog.token_ids import PAD_ID


@dataclass(frozen=True, slots=True)
class Shown:
    """The support dialogues in a prompt.

    Attributes:
        tokens: tokens of the prompt.
        dialogues: number of dialogues in it.
        left_out: number of dialogues that did not fit.
    """

    tokens: tuple[int, ...]
    dialogues: int
    left_out: int


class DialogueModel(Protocol):
    """Interface of dialogue models, which map token ids to the logits of the next token and a state.

    `BaseModel` implements everything except `forward` and `parts` for models with states of type `State`. A model with
    other states, such as a key-value cache, implements its own `read`, `step` and `select_rows`; no other code accesses
    a state.

    Attributes:
        parts: parameters of `embeddings`, `body` and `head`, as patterns of names; see `select`.
        token_embedding: the module that embeds token ids.
    """

    parts: Mapping[str, tuple[str, ...]]

    @property
    def token_embedding(self) -> nn.Module: ...  # noqa: D102 - see above

    def replace_token_embedding(self, module: nn.Module) -> None:
        """Replace the module that embeds token ids."""
        ...

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Predict the token after each token.

        Args:
            tokens: token ids, int64, `[batch, time]`; padding is at the end.
            state: previous state; None at the beginning.

        Returns:
            Logits `[batch, time, vocab]`, and the state after the last token.
        """
        ...

    def __call__(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Call `forward`."""
        ...

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        """Return the losses of the counted targets.

        Args:
            tokens: token ids, `[batch, time]`; padding is at the end.
            targets: next token of each token, `[batch, time]`.
            mask: which targets count, `[batch, time]`.
            state: previous state; None at the beginning.

        Returns:
            Negative log-likelihoods, nats, `[batch, time]`; 0 where masked.
        """
        ...

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the result of `token_losses`, and whether each counted target is the most likely token."""
        ...

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts of different lengths.

        Args:
            tokens: token ids, `[batch, time]`; those beyond a row's length are ignored.
            lengths: length of each row, `[batch]`, 1 or more.
            state: previous state; None at the beginning.

        Returns:
            The logits of each row's next token, `[batch, vocab]`, and the state after the rows' last tokens.
        """
        ...

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read one more token in each row, `[batch]`; return the next logits, `[batch, vocab]`, and the state.

        The state is None for the first token of all.
        """
        ...

    def select_rows(self, state: State, rows: Tensor) -> State:
        """Return the state of the given rows, `[chosen]`, in their order; rows may be repeated."""
        ...


class BaseModel(nn.Module):
    """Base class of models; a subclass implements `forward` and `parts`.

    States are tensors `[any, batch, any]`, nested in tuples (see `State`). The token embedding is `self.embed`, or the
    attribute named in `embedding_name`.

    A `forward(tokens, state, at)` returns the logits at selected positions (see `at_positions`), which saves time, as
    the logits of padding and contexts are most of the work of a small model.
    """

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    embedding_name: ClassVar[str] = "embed"
    is_pretrained: ClassVar[bool] = False
    """Whether it has pretrained weights."""
    time_major_dropout: ClassVar[frozenset[int]] = frozenset()
    """Indices of its dropout calls whose features have time as the first dimension in memory.

    The assignment of random numbers to units depends on it, for engines that draw masks in advance.
    """
    shown: Shown | None = None
    """The dialogues that it reads before each dialogue, if any; counted in records."""

    @property
    def predicts_at(self) -> bool:
        """Whether `forward` takes `at`."""
        return _takes_at(type(self))  # type: ignore[arg-type]

    @property
    def reads_at_once(self) -> bool:
        """Whether `forward` takes `at`, and ignores the padding of prompts within `models.cells.reading`.

        Prompts of several tasks are then read in one pass.
        """
        return False

    @property
    def obstacle(self) -> str | None:
        """The part of the model that the hand-written derivatives of `DialogModel` do not cover; None without one.

        The engines `vectorized` and `lean` support only models without an obstacle. Another class may return None if it
        computes the same function as `DialogModel` with layers of the same names.
        """
        return f"the model {type(self).__name__}"

    @property
    def token_embedding(self) -> nn.Module:
        """The module that embeds token ids.

        Raises:
            ConfigError: the model has none of this name.
        """
        module = self._modules.get(self.embedding_name)
        if module is None:
            # Not an AttributeError, which torch would report as a missing attribute `token_embedding`.
            raise ConfigError(
                f"{type(self).__name__} has no token embedding `{self.embedding_name}`; the model should have one, or "
                "name it in embedding_name"
            )
        return module

    def replace_token_embedding(self, module: nn.Module) -> None:
        """Replace the module that embeds token ids."""
        setattr(self, self.embedding_name, module)

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        """Return the losses of the counted targets; see `DialogueModel.token_losses`."""
        logits, indices = counted_logits(self, tokens, mask, state)
        return _put_back(_losses(logits, targets, indices), indices, mask)

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the counted targets; see `DialogueModel.token_scores`."""
        logits, indices = counted_logits(self, tokens, mask, state)
        hits = logits.argmax(-1) == targets.flatten()[indices]
        return _put_back(_losses(logits, targets, indices), indices, mask), _put_back(hits, indices, mask)

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts token by token; see `DialogueModel.read`.

        A recurrent state must be that after a row's last token, not after padding, so a row keeps its state after the
        end of its prompt.
        """
        logits, state = self.step(tokens[:, 0], state)
        for position in range(1, tokens.shape[1]):
            on = lengths > position  # [batch]
            new_logits, new_state = self.step(tokens[:, position], state)
            logits = torch.where(on[:, None], new_logits, logits)
            state = map_state(lambda new, old, on=on: _where(on, new, old), new_state, state)
        return logits, state

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read one more token in each row; see `DialogueModel.step`."""
        logits, state = self(tokens[:, None], state)
        return logits[:, -1], state

    def select_rows(self, state: State, rows: Tensor) -> State:
        """Return the state of some rows; see `DialogueModel.select_rows`."""
        return map_state(lambda part: part.index_select(1, rows), state)


def read_at_once(model: nn.Module, tokens: Tensor, lengths: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Read prompts in one pass, with a model that takes `at` and ignores padding; see `DialogueModel.read`."""
    rows, time = tokens.shape
    unread = torch.arange(time, device=tokens.device) >= lengths[:, None]  # [batch, time]
    ends = torch.arange(rows, device=tokens.device) * time + lengths - 1
    result: tuple[Tensor, State] = model(tokens.masked_fill(unread, PAD_ID), state, ends)
    return result


@cache
def _takes_at(kind: type[nn.Module]) -> bool:
    return "at" in signature(kind.forward).parameters


def counted_logits(model: nn.Module, tokens: Tensor, mask: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
    """Return the logits of the counted targets, `[counted, vocab]`, and their positions in `batch * time`."""
    indices = mask.flatten().nonzero()[:, 0]
    if getattr(model, "predicts_at", False):
        logits: Tensor = model(tokens, state, at=indices)[0]
        return logits, indices
    return at_positions(model(tokens, state)[0], indices), indices


def at_positions(features: Tensor, at: Tensor | None) -> Tensor:
    """Return features `[batch, time, width]` at positions in `batch * time`, `[positions, width]`; None for all."""
    return features if at is None else features.flatten(0, 1).index_select(0, at)


def _losses(logits: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, targets.flatten()[indices], reduction="none")  # [counted]


def _put_back(values: Tensor, indices: Tensor, mask: Tensor) -> Tensor:
    """Return values of the counted targets, `[counted]`, as `[batch, time]` with zeros elsewhere."""
    return values.new_zeros(mask.numel()).index_copy(0, indices, values).view_as(mask)


def map_state(change: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors of states of the same structure."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(*states)
    return tuple(map_state(change, *parts) for parts in zip(*states, strict=True))


def _where(on: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return the new state where `on`, `[batch]`, and the old one, which may be shorter, elsewhere."""
    grown = pad(old, (0, 0, 0, 0, 0, len(new) - len(old)))
    return torch.where(on[None, :, None], new, grown)


class _Plain(BaseModel):
    """A module with only `forward(tokens, state)`, and defaults for the rest."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    @property
    def predicts_at(self) -> bool:
        """Whether the module declares that it takes `at`."""
        return bool(getattr(self.module, "predicts_at", False))

    def forward(self, tokens: Tensor, state: State | None = None, **options: Tensor) -> tuple[Tensor, State]:
        results: tuple[Tensor, State] = self.module(tokens, state, **options)
        return results


_NEEDED = ("token_losses", "token_scores", "read", "step", "select_rows")


def shown_by(model: nn.Module) -> Shown | None:
    """Return the dialogues that a module reads before each dialogue; see `BaseModel.shown`."""
    shown: Shown | None = getattr(model, "shown", None)
    return shown


def obstacle_of(model: nn.Module) -> str | None:
    """Return the part of a module without hand-written derivatives; see `BaseModel.obstacle`."""
    unknown: str | None = getattr(model, "obstacle", f"the model {type(model).__name__}")
    return unknown


def reads_at_once(model: nn.Module) -> bool:
    """Tell whether prompts of several tasks can be read in one pass; see `BaseModel.reads_at_once`."""
    return bool(getattr(model, "reads_at_once", False))


PRETRAINED_ROWS = 2
"""Number of exchanges in a pass of a pretrained model with a graph, which takes about 0.3 GB for SmolLM2."""


def rows_at_once(model: nn.Module) -> int | None:
    """Return the maximum number of exchanges in one pass with a graph; None for no limit.

    The activations and logits of a pretrained model for a few dozen exchanges take more memory than its weights.
    """
    large = any(getattr(part, "is_pretrained", False) for part in model.modules())
    return PRETRAINED_ROWS if large else None


def as_dialogue_model(model: nn.Module) -> DialogueModel:
    """Return a module as a dialogue model.

    A module with only `forward`, not derived from `BaseModel`, gets the defaults.
    """
    return cast("DialogueModel", model if all(hasattr(model, name) for name in _NEEDED) else _Plain(model))


def token_embedding(model: nn.Module, wanted_by: str) -> nn.Embedding:
    """Return a model's token embedding after checking its type.

    Args:
        model: the model.
        wanted_by: the option that needs it, for messages.

    Raises:
        ConfigError: the model has none.
    """
    embedding = getattr(model, "token_embedding", None)
    if not isinstance(embedding, nn.Embedding):
        raise ConfigError(
            f"{wanted_by}: {type(model).__name__} has no token embedding: its token_embedding should be an "
            f"nn.Embedding, and is {type(embedding).__name__}"
        )
    return embedding
