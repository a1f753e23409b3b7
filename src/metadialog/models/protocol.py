"""What the rest of the program asks of a model, and the defaults that fulfil most of it."""

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
    """What of a support set stands in a prompt.

    Attributes:
        tokens: of the prompt.
        dialogues: how many stand in it whole.
        left_out: how many do not.
    """

    tokens: tuple[int, ...]
    dialogues: int
    left_out: int


class DialogueModel(Protocol):
    """A model of dialogues: from token ids to the logits of the next token, and the state to go on from.

    `BaseModel` implements all but `forward` and `parts` for models whose states are built as `State` says. A model with
    states of another kind, such as a key-value cache, brings its own `read`, `step` and `select_rows`; nobody else
    looks into a state.

    Attributes:
        parts: the parameters of `embeddings`, `body` and `head`, as patterns of their names; see `select`.
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
            tokens: token ids, int64, `[batch, time]`; padding comes last.
            state: to go on from; None to begin.

        Returns:
            Logits `[batch, time, vocab]`, and the state after the last token.
        """
        ...

    def __call__(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Call `forward`, as every module does."""
        ...

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        """Score the token after each token, where it counts.

        Args:
            tokens: token ids, `[batch, time]`; padding comes last.
            targets: the next token of each, `[batch, time]`.
            mask: which of them count, `[batch, time]`.
            state: to go on from; None to begin.

        Returns:
            Negative log-likelihoods, nats, `[batch, time]`; 0 where the mask leaves them out.
        """
        ...

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return what `token_losses` does, and whether each counted target is the most likely token."""
        ...

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts of different lengths.

        Args:
            tokens: token ids, `[batch, time]`; what stands after a row's length is not read.
            lengths: of each row, `[batch]`, 1 or more.
            state: to go on from; None to begin.

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
        """Return the state of some rows, `[chosen]`, in their order; a row may come several times."""
        ...


class BaseModel(nn.Module):
    """The defaults of `DialogueModel`: a subclass brings `forward` and `parts`.

    States are tensors `[any, batch, any]`, nested in tuples (see `State`). The token embedding is `self.embed`; a
    subclass that calls it otherwise says so in `embedding_name`.

    A `forward(tokens, state, at)` returns the logits at some positions (see `at_positions`): those of padding and of
    contexts, which do not count, are most of the work of a small model.
    """

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    embedding_name: ClassVar[str] = "embed"
    is_pretrained: ClassVar[bool] = False
    """Whether it comes with weights that others have trained."""
    time_major_dropout: ClassVar[frozenset[int]] = frozenset()
    """Which of its calls of dropout, from 0 on, are of features that lie in memory time by time.

    Which unit gets which random number depends on it; engines that draw for many tasks ahead need to know.
    """
    shown: Shown | None = None
    """The dialogues that it reads before each dialogue, where it does; records count them."""

    @property
    def predicts_at(self) -> bool:
        """Whether `forward` takes `at`."""
        return _takes_at(type(self))  # type: ignore[arg-type]

    @property
    def reads_at_once(self) -> bool:
        """Whether `forward` takes `at`, and leaves the padding of prompts unread where `models.cells.reading` says so.

        Prompts of several tasks are then read in one pass.
        """
        return False

    @property
    def obstacle(self) -> str | None:
        """What of the model the derivatives written out for `DialogModel` do not cover; None where they cover all.

        The engines `vectorized` and `lean` take a model without an obstacle alone. One of another class may say None
        where it computes what `DialogModel` does, from layers that have the same names.
        """
        return f"the model {type(self).__name__}"

    @property
    def token_embedding(self) -> nn.Module:
        """The module that embeds token ids.

        Raises:
            ConfigError: the model has none by this name.
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
        """Score the token after each token; see `DialogueModel.token_losses`."""
        logits, indices = counted_logits(self, tokens, mask, state)
        return _put_back(_losses(logits, targets, indices), indices, mask)

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the token after each token; see `DialogueModel.token_scores`."""
        logits, indices = counted_logits(self, tokens, mask, state)
        hits = logits.argmax(-1) == targets.flatten()[indices]
        return _put_back(_losses(logits, targets, indices), indices, mask), _put_back(hits, indices, mask)

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts token by token; see `DialogueModel.read`.

        A recurrent state must be the one after a row's own last token, not after padding: so a row whose prompt is
        over keeps its state.
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
    """Read prompts in one pass, with a model that takes `at` and leaves padding unread; see `DialogueModel.read`."""
    rows, time = tokens.shape
    unread = torch.arange(time, device=tokens.device) >= lengths[:, None]  # [batch, time]
    ends = torch.arange(rows, device=tokens.device) * time + lengths - 1
    result: tuple[Tensor, State] = model(tokens.masked_fill(unread, PAD_ID), state, ends)
    return result


@cache
def _takes_at(kind: type[nn.Module]) -> bool:
    return "at" in signature(kind.forward).parameters


def counted_logits(model: nn.Module, tokens: Tensor, mask: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
    """Return the logits of the counted targets alone, `[counted, vocab]`, and their positions among `batch * time`."""
    indices = mask.flatten().nonzero()[:, 0]
    if getattr(model, "predicts_at", False):
        logits: Tensor = model(tokens, state, at=indices)[0]
        return logits, indices
    return at_positions(model(tokens, state)[0], indices), indices


def at_positions(features: Tensor, at: Tensor | None) -> Tensor:
    """Return features `[batch, time, width]` at positions among `batch * time`, `[positions, width]`; None for all."""
    return features if at is None else features.flatten(0, 1).index_select(0, at)


def _losses(logits: Tensor, targets: Tensor, indices: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits, targets.flatten()[indices], reduction="none")  # [counted]


def _put_back(values: Tensor, indices: Tensor, mask: Tensor) -> Tensor:
    """Return what belongs to the counted targets, `[counted]`, as `[batch, time]`, zero elsewhere."""
    return values.new_zeros(mask.numel()).index_copy(0, indices, values).view_as(mask)


def map_state(change: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors of states that are built alike."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(*states)
    return tuple(map_state(change, *parts) for parts in zip(*states, strict=True))


def _where(on: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return the new state in some rows, `[batch]`, and the old one, which may be shorter, in the others."""
    grown = pad(old, (0, 0, 0, 0, 0, len(new) - len(old)))
    return torch.where(on[None, :, None], new, grown)


class _Plain(BaseModel):
    """A module that has `forward(tokens, state)` alone, with the defaults for the rest."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    @property
    def predicts_at(self) -> bool:
        """Whether the module says that it takes `at`."""
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
    """Return what of a module written-out derivatives do not cover; see `BaseModel.obstacle`."""
    unknown: str | None = getattr(model, "obstacle", f"the model {type(model).__name__}")
    return unknown


def reads_at_once(model: nn.Module) -> bool:
    """Tell whether prompts of several tasks can be read in one pass; see `BaseModel.reads_at_once`."""
    return bool(getattr(model, "reads_at_once", False))


PRETRAINED_ROWS = 2
"""Exchanges of which a pretrained model keeps the graph at once: of SmolLM2 they take about 0.3 GB."""


def rows_at_once(model: nn.Module) -> int | None:
    """Return how many exchanges one pass with a graph should have at most; None where memory sets no limit.

    A pretrained model's activations and logits of a few dozen exchanges take more memory than its weights.
    """
    large = any(getattr(part, "is_pretrained", False) for part in model.modules())
    return PRETRAINED_ROWS if large else None


def as_dialogue_model(model: nn.Module) -> DialogueModel:
    """Return a module as what it is: a dialogue model.

    A module that has `forward` alone, such as one that is not derived from `BaseModel`, gets the defaults.
    """
    return cast("DialogueModel", model if all(hasattr(model, name) for name in _NEEDED) else _Plain(model))


def token_embedding(model: nn.Module, wanted_by: str) -> nn.Embedding:
    """Return a model's token embedding, which is still the plain one.

    Args:
        model: the model.
        wanted_by: the option that needs it.

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
