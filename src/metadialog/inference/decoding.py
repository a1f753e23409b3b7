"""Token-by-token generation of replies, in a joint batch for concurrent requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from metadialog.generation.base import forbid
from metadialog.generation.stepwise import Stepwise
from metadialog.models.protocol import BaseModel, as_dialogue_model, map_state
from metadialog.tokenizers.tokenizer import Tokenizer

Choose = Callable[[Tensor, Sequence[int]], int]
"""Maps the logits of the next token, `[vocab]`, and the tokens so far to the next token."""


@dataclass(eq=False, slots=True)
class Growing:
    """A reply that is being generated.

    Attributes:
        prompt: token ids.
        choose: chooses each token.
        max_tokens: maximum length.
        tokens: tokens so far, without the end token.
        log_probability: log-probability of these tokens, and of the end token if there is one, nats.
        ended: whether it is complete, by an end token or by its length.
        finished: whether it has an end token.
    """

    prompt: Sequence[int]
    choose: Choose
    max_tokens: int
    tokens: list[int] = field(default_factory=list)
    log_probability: float = 0.0
    ended: bool = False
    finished: bool = False

    @property
    def score(self) -> float:
        """Mean log-probability of the tokens, including the end token, nats."""
        return self.log_probability / max(1, len(self.tokens) + self.finished)


@dataclass(slots=True)
class _Group:
    """Replies whose next tokens are computed together: their logits, `[rows, vocab]`, and the state of all."""

    rows: list[Growing]
    logits: Tensor
    state: Any


class Decoder:
    """Generates replies with one model; new ones may join at any time.

    A reply does not depend on others that are generated at the same time, up to rounding. It is not thread-safe, and
    must be called within `computing`.

    Args:
        model: model in evaluation mode.
        tokenizer: tokenizer of the model.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self._model = as_dialogue_model(model)
        self._device = next(model.parameters()).device
        self._end_id = tokenizer.end_id
        self._forbidden = list(tokenizer.unspoken)
        self._groups: list[_Group] = []

    def __len__(self) -> int:
        """Return the number of unfinished replies."""
        return sum(len(group.rows) for group in self._groups)

    def add(self, replies: Sequence[Growing]) -> None:
        """Add replies and read their prompts; equal prompts are read once."""
        for prompt in dict.fromkeys(tuple(reply.prompt) for reply in replies):
            rows = [reply for reply in replies if tuple(reply.prompt) == prompt]
            logits, state = self._read(prompt)
            repeated = torch.zeros(len(rows), dtype=torch.int64, device=self._device)
            self._join(_Group(rows, logits[repeated], self._model.select_rows(state, repeated)))

    def remove(self, replies: Sequence[Growing]) -> None:
        """Remove unfinished replies."""
        for group in self._groups:
            self._keep(group, [position for position, row in enumerate(group.rows) if row not in replies])
        self._groups = [group for group in self._groups if group.rows]

    def step(self) -> list[Growing]:
        """Choose the next token of every reply; return the replies.

        Replies that are complete afterwards are removed.
        """
        stepped = [row for group in self._groups for row in self._step(group)]
        self._groups = [group for group in self._groups if group.rows]
        return stepped

    def _step(self, group: _Group) -> list[Growing]:
        rows = group.rows
        logits = forbid(group.logits, self._forbidden)
        log_p = logits.log_softmax(-1)  # before the rules, which change the logits
        chosen = [row.choose(logits[position], row.tokens) for position, row in enumerate(rows)]
        gained = log_p[range(len(rows)), chosen].tolist()
        for row, token, gain in zip(rows, chosen, gained, strict=True):
            row.log_probability += gain
            row.finished = token == self._end_id
            if not row.finished:
                row.tokens.append(token)
            row.ended = row.finished or len(row.tokens) >= row.max_tokens
        going_on = [position for position, row in enumerate(rows) if not row.ended]
        if len(going_on) < len(rows):
            self._keep(group, going_on)
        if group.rows:
            tokens = torch.tensor([row.tokens[-1] for row in group.rows], device=self._device)
            group.logits, group.state = self._model.step(tokens, group.state)
        return rows

    def _read(self, prompt: Sequence[int]) -> tuple[Tensor, Any]:
        tokens = torch.tensor([prompt], device=self._device)
        if getattr(type(self._model), "read", None) is not BaseModel.read:
            return self._model.read(tokens, torch.tensor([len(prompt)], device=self._device))
        logits, state = self._model(tokens)  # all rows at once, as they have equal lengths
        return logits[:, -1], state

    def _join(self, group: _Group) -> None:
        """Merge a group with another one, if states are of type `State`."""
        if not self._groups or getattr(type(self._model), "select_rows", None) is not BaseModel.select_rows:
            self._groups.append(group)
            return
        first = self._groups[0]
        logits, state = torch.cat([first.logits, group.logits]), map_state(_beside, first.state, group.state)
        # Only now, so that the group stays as it was if memory is too short.
        first.rows, first.logits, first.state = [*first.rows, *group.rows], logits, state

    def _keep(self, group: _Group, positions: list[int]) -> None:
        group.rows = [group.rows[position] for position in positions]
        if positions:
            index = torch.tensor(positions, device=self._device)
            group.logits, group.state = group.logits[index], self._model.select_rows(group.state, index)


def choice(generation: Stepwise, prompt: Sequence[int], end_id: int, seed: int) -> Choose:
    """Return the token choice function of a generation method.

    Args:
        generation: the method.
        prompt: prompt of the reply.
        end_id: token that ends a reply.
        seed: random seed.
    """
    choose, rules = generation.chooser([prompt], torch.Generator().manual_seed(seed)), generation.rules

    def pick(logits: Tensor, tokens: Sequence[int]) -> int:
        return int(choose(rules.apply(logits[None], [tokens], end_id), [0]))

    return pick


def _beside(first: Tensor, second: Tensor) -> Tensor:
    """Concatenate states of rows; shorter ones are padded with zeros (see `State`)."""
    longest = max(len(first), len(second))
    grown = [torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])]) for part in (first, second)]
    return torch.cat(grown, dim=1)


def whole_characters(text: str) -> str:
    """Remove an incomplete character at the end of a reply, which may have been stopped at its maximum length."""
    return text.rstrip("\ufffd")


class Text:
    """Decodes tokens incrementally, and holds back incomplete characters.

    Args:
        tokenizer: decodes tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._given = ""

    def grow(self, tokens: Sequence[int]) -> str:
        """Return the new part of the text.

        Args:
            tokens: all tokens so far.
        """
        ready = whole_characters(self._tokenizer.decode(tokens))
        if not ready.startswith(self._given):
            return ""
        piece = ready[len(self._given) :]
        self._given = ready
        return piece
