"""What the rest of the program asks of a model, and the defaults that fulfil most of it."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from metadialog.errors import ConfigError
from metadialog.models.recurrence import State


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
        """Put another module in the place of the one that embeds token ids."""
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

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Score the token after each token, where it counts.

        Args:
            tokens: token ids, `[batch, time]`; padding comes last.
            targets: the next token of each, `[batch, time]`.
            mask: which of them count, `[batch, time]`.

        Returns:
            Negative log-likelihoods, nats, `[batch, time]`; 0 where the mask leaves them out.
        """
        ...

    def token_scores(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `token_losses` does, and whether each counted target is the most likely token."""
        ...

    def read(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Read prompts of different lengths.

        Args:
            tokens: token ids, `[batch, time]`; what stands after a row's length is not read.
            lengths: of each row, `[batch]`, 1 or more.

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
    """

    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    embedding_name: ClassVar[str] = "embed"

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
        """Put another module in the place of the one that embeds token ids."""
        setattr(self, self.embedding_name, module)

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Score the token after each token; see `DialogueModel.token_losses`."""
        return losses_of(self(tokens)[0], targets, mask)

    def token_scores(self, tokens: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score the token after each token; see `DialogueModel.token_scores`."""
        logits, _ = self(tokens)
        return losses_of(logits, targets, mask), (logits.argmax(-1) == targets) & mask

    def read(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """Read prompts token by token; see `DialogueModel.read`.

        A recurrent state must be the one after a row's own last token, not after padding: so a row whose prompt is
        over keeps its state.
        """
        logits, state = self.step(tokens[:, 0], None)
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


def losses_of(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return what `DialogueModel.token_losses` does, of logits `[batch, time, vocab]`."""
    losses = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")  # [batch * time]
    return losses.view_as(targets) * mask


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

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        found: tuple[Tensor, State] = self.module(tokens, state)
        return found


_NEEDED = ("token_losses", "token_scores", "read", "step", "select_rows")


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
