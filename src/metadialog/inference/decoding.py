"""Replies generated token by token, those that are asked for at the same time together."""

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
"""From the logits of the next token, `[vocab]`, and the tokens so far to the token."""


@dataclass(eq=False, slots=True)
class Growing:
    """A reply that is being generated.

    Attributes:
        prompt: token ids.
        choose: picks each token.
        max_tokens: longest reply.
        tokens: what there is of it, without the token that ends it.
        log_probability: of these tokens, and of the end once it has come, nats.
        ended: whether it is whole: the end has come, or as many tokens as may be.
        finished: whether the end has come.
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
        """Mean log-probability of a token, the end included, nats."""
        return self.log_probability / max(1, len(self.tokens) + self.finished)


@dataclass(slots=True)
class _Group:
    """Replies whose next tokens are computed together: their logits, `[rows, vocab]`, and the state of all."""

    rows: list[Growing]
    logits: Tensor
    state: Any


class Decoder:
    """Generates replies with one model; new ones may join at any time.

    The state of each is that of its own tokens alone, so a reply does not depend on what is generated beside it, up to
    rounding. Not to be used by two threads at once; call it within `computing`.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self._model = as_dialogue_model(model)
        self._device = next(model.parameters()).device
        self._end_id = tokenizer.end_id
        self._forbidden = [tokenizer.pad_id, tokenizer.begin_id, tokenizer.self_id, tokenizer.other_id]
        self._groups: list[_Group] = []

    def __len__(self) -> int:
        """Return the number of replies that are not whole yet."""
        return sum(len(group.rows) for group in self._groups)

    def add(self, replies: Sequence[Growing]) -> None:
        """Read the prompts of some replies; those with the same prompt read it once."""
        for prompt in dict.fromkeys(tuple(reply.prompt) for reply in replies):
            rows = [reply for reply in replies if tuple(reply.prompt) == prompt]
            logits, state = self._read(prompt)
            repeated = torch.zeros(len(rows), dtype=torch.int64, device=self._device)
            self._join(_Group(rows, logits[repeated], self._model.select_rows(state, repeated)))

    def remove(self, replies: Sequence[Growing]) -> None:
        """Leave off some replies that are not whole."""
        for group in self._groups:
            self._keep(group, [position for position, row in enumerate(group.rows) if row not in replies])
        self._groups = [group for group in self._groups if group.rows]

    def step(self) -> list[Growing]:
        """Choose one more token of every reply; return those that there were.

        The ones that are whole now do not come again.
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
        logits, state = self._model(tokens)  # all at once: there is no row whose prompt is shorter
        return logits[:, -1], state

    def _join(self, group: _Group) -> None:
        """Put a group beside another one, where states are built as `State` says."""
        if not self._groups or getattr(type(self._model), "select_rows", None) is not BaseModel.select_rows:
            self._groups.append(group)
            return
        first = self._groups[0]
        first.rows = [*first.rows, *group.rows]
        first.logits = torch.cat([first.logits, group.logits])
        first.state = map_state(_beside, first.state, group.state)

    def _keep(self, group: _Group, positions: list[int]) -> None:
        group.rows = [group.rows[position] for position in positions]
        if positions:
            index = torch.tensor(positions, device=self._device)
            group.logits, group.state = group.logits[index], self._model.select_rows(group.state, index)


def choice(generation: Stepwise, prompt: Sequence[int], end_id: int, seed: int) -> Choose:
    """Return how a way of generating picks one token after another.

    Args:
        generation: the way.
        prompt: what the reply is to.
        end_id: the token that ends a reply.
        seed: of what is drawn.
    """
    choose, rules = generation.chooser([prompt], torch.Generator().manual_seed(seed)), generation.rules

    def pick(logits: Tensor, tokens: Sequence[int]) -> int:
        return int(choose(rules.apply(logits[None], [tokens], end_id), [0]))

    return pick


def _beside(first: Tensor, second: Tensor) -> Tensor:
    """Put the states of some rows beside those of others; the shorter ones get zeros at their ends (see `State`)."""
    longest = max(len(first), len(second))
    grown = [torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])]) for part in (first, second)]
    return torch.cat(grown, dim=1)
