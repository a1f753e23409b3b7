"""Models that read other dialogues or a soft prefix before each dialogue."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from metadialog.models.parts import parts_of
from metadialog.models.protocol import BaseModel, Shown, as_dialogue_model
from metadialog.models.recurrence import State


class AfterReading(BaseModel):
    """A model that starts each dialogue from the state after a prefix.

    Args:
        base: a `DialogueModel`.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def prefix(self) -> Tensor:
        """Return the tokens of the prefix, `[read]`."""
        raise NotImplementedError

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:  # type: ignore[override]
        """The parts of the base model, by the names that their parameters have here."""
        return {part: tuple(f"base.{p}" for p in patterns) for part, patterns in parts_of(self.base).items()}

    @property
    def token_embedding(self) -> nn.Module:
        """The token embedding of the base model."""
        return as_dialogue_model(self.base).token_embedding

    def replace_token_embedding(self, module: nn.Module) -> None:
        """Replace the token embedding of the base model."""
        as_dialogue_model(self.base).replace_token_embedding(module)

    def begin(self, rows: int) -> State | None:
        """Return the state after the prefix for a number of rows; None without a prefix."""
        prefix = self.prefix()
        if not len(prefix):
            return None
        base = as_dialogue_model(self.base)
        _, state = base.read(prefix[None], torch.tensor([len(prefix)], device=prefix.device))
        return base.select_rows(state, torch.zeros(rows, dtype=torch.int64, device=prefix.device))

    def forward(self, tokens: Tensor, state: State | None = None, at: Tensor | None = None) -> tuple[Tensor, State]:
        """Predict the token after each token, or after those at `at`; see `DialogueModel` and `at_positions`."""
        state = self.begin(len(tokens)) if state is None else state
        options = {} if at is None else {"at": at}
        if at is not None and not getattr(self.base, "predicts_at", False):
            logits, state = self.base(tokens, state)
            return logits.flatten(0, 1).index_select(0, at), state
        results: tuple[Tensor, State] = self.base(tokens, state, **options)
        return results

    def token_losses(self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        """Return the losses of the counted targets; see `DialogueModel.token_losses`."""
        state = self.begin(len(tokens)) if state is None else state
        return as_dialogue_model(self.base).token_losses(tokens, targets, mask, state)

    def token_scores(
        self, tokens: Tensor, targets: Tensor, mask: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the counted targets; see `DialogueModel.token_scores`."""
        state = self.begin(len(tokens)) if state is None else state
        return as_dialogue_model(self.base).token_scores(tokens, targets, mask, state)

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts of different lengths; see `DialogueModel.read`."""
        state = self.begin(len(tokens)) if state is None else state
        return as_dialogue_model(self.base).read(tokens, lengths, state)

    def step(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Read one more token in each row; see `DialogueModel.step`."""
        state = self.begin(len(tokens)) if state is None else state
        return as_dialogue_model(self.base).step(tokens, state)

    def select_rows(self, state: State, rows: Tensor) -> State:
        """Return the state of some rows; see `DialogueModel.select_rows`."""
        return as_dialogue_model(self.base).select_rows(state, rows)


def show(dialogues: Sequence[Sequence[int]], max_tokens: int) -> Shown:
    """Concatenate dialogues while they fit completely."""
    tokens: list[int] = []
    count = 0
    for dialogue in dialogues:
        if len(tokens) + len(dialogue) > max_tokens:
            break
        tokens += dialogue
        count += 1
    return Shown(tuple(tokens), count, len(dialogues) - count)


class InContext(AfterReading):
    """A model that reads the support dialogues before each dialogue; its weights do not change.

    Args:
        base: the model.
        shown: the dialogues that it reads.
    """

    shown: Shown

    def __init__(self, base: nn.Module, shown: Shown) -> None:
        super().__init__(base)
        self.shown = shown
        device = next(base.parameters()).device
        self.register_buffer("tokens", torch.tensor(shown.tokens, dtype=torch.int64, device=device), persistent=False)

    def prefix(self) -> Tensor:
        """Return the tokens of the dialogues."""
        return self.get_buffer("tokens")


class SoftTokens(nn.Module):
    """A token embedding with additional soft tokens: -1 is the first, -2 the second, and so on.

    Args:
        embed: embedding of the ordinary tokens.
        values: embeddings of the soft tokens, `[number, width]`.
    """

    def __init__(self, embed: nn.Module, values: Tensor) -> None:
        super().__init__()
        self.embed = embed
        self.soft = nn.Parameter(values)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed token ids, `[...]` to `[..., width]`."""
        ordinary: Tensor = self.embed(tokens.clamp(min=0))
        soft = self.soft[(-1 - tokens).clamp(min=0)]
        return torch.where((tokens < 0)[..., None], soft, ordinary)


class SoftPrompt(AfterReading):
    """A model that reads a soft prefix before each dialogue (Lester et al. 2021, arXiv:2104.08691, section 2).

    Args:
        base: the model; its token embedding is replaced by one with the soft tokens.
        values: embeddings of the soft tokens, `[number, width]`.
    """

    def __init__(self, base: nn.Module, values: Tensor) -> None:
        super().__init__(base)
        inner = as_dialogue_model(base)
        inner.replace_token_embedding(SoftTokens(inner.token_embedding, values))

    def prefix(self) -> Tensor:
        """Return the ids of the soft tokens."""
        soft = self._embedding.soft
        return -1 - torch.arange(len(soft), device=soft.device)

    @property
    def soft_name(self) -> str:
        """The name of the parameter that holds the soft tokens."""
        return next(name for name, parameter in self.named_parameters() if parameter is self._embedding.soft)

    @property
    def _embedding(self) -> SoftTokens:
        embedding = self.token_embedding
        assert isinstance(embedding, SoftTokens)  # noqa: S101 - for the type checker
        return embedding
