"""Replies generated token by token, those that are asked for at the same time together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from metadialog.generation.base import Generation, forbid, map_state, next_logits
from metadialog.generation.greedy import Greedy
from metadialog.generation.sampling import Sampling
from metadialog.models.recurrence import State
from metadialog.tokenizers.tokenizer import Tokenizer

Choose = Callable[[Tensor], int]
"""From the logits of the next token, `[vocab]`, to the token."""


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


class Decoder:
    """Generates replies with one model; new ones may join at any time.

    The state of each is that of its own tokens alone, so a reply does not depend on what is generated beside it, up to
    rounding. Not to be used by two threads at once; call it within `computing`.

    Args:
        model: in evaluation mode.
        tokenizer: of the model.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self._end_id = tokenizer.end_id
        self._forbidden = [tokenizer.pad_id, tokenizer.begin_id, tokenizer.self_id, tokenizer.other_id]
        self._rows: list[Growing] = []
        self._logits: Tensor | None = None  # [rows, vocab]
        self._state: State | None = None

    def __len__(self) -> int:
        """Return the number of replies that are not whole yet."""
        return len(self._rows)

    def add(self, replies: Sequence[Growing]) -> None:
        """Read the prompts of some replies; those with the same prompt read it once."""
        prompts = {tuple(reply.prompt) for reply in replies}
        for prompt in prompts:
            rows = [reply for reply in replies if tuple(reply.prompt) == prompt]
            tokens = torch.tensor([prompt], device=self._device)
            logits, state = self._model(tokens, None)  # [1, time, vocab]
            repeated = torch.zeros(len(rows), dtype=torch.int64, device=self._device)
            self._join(rows, logits[:, -1].expand(len(rows), -1), _select(state, repeated))

    def remove(self, replies: Sequence[Growing]) -> None:
        """Leave off some replies that are not whole."""
        self._keep([place for place, row in enumerate(self._rows) if row not in replies])

    def step(self) -> list[Growing]:
        """Choose one more token of every reply; return those that there were.

        The ones that are whole now do not come again.
        """
        if self._logits is None:
            return []
        rows = self._rows
        logits = forbid(self._logits.clone(), self._forbidden)
        log_p = logits.log_softmax(-1)
        chosen = [row.choose(logits[place]) for place, row in enumerate(rows)]
        for place, (row, token) in enumerate(zip(rows, chosen, strict=True)):
            row.log_probability += log_p[place, token].item()
            row.finished = token == self._end_id
            if not row.finished:
                row.tokens.append(token)
            row.ended = row.finished or len(row.tokens) >= row.max_tokens
        going_on = [place for place, row in enumerate(rows) if not row.ended]
        if len(going_on) < len(rows):
            self._keep(going_on)
        if self._rows and self._state is not None:
            tokens = torch.tensor([row.tokens[-1] for row in self._rows], device=self._device)
            self._logits, self._state = next_logits(self._model, tokens, self._state)
        return rows

    def _join(self, rows: Sequence[Growing], logits: Tensor, state: State) -> None:
        if self._logits is None or self._state is None:
            self._rows, self._logits, self._state = list(rows), logits, state
            return
        self._rows = [*self._rows, *rows]
        self._logits = torch.cat([self._logits, logits])
        self._state = map_state(_beside, self._state, state)

    def _keep(self, places: list[int]) -> None:
        if not places:
            self._rows, self._logits, self._state = [], None, None
            return
        self._rows = [self._rows[place] for place in places]
        index = torch.tensor(places, device=self._device)
        if self._logits is not None and self._state is not None:
            self._logits, self._state = self._logits[index], _select(self._state, index)


def choice(generation: Generation, seed: int) -> Choose | None:
    """Return how a way of generating picks one token after another; None if it does not, such as beam search.

    Args:
        generation: the way.
        seed: of what is drawn.
    """
    if isinstance(generation, Greedy):
        return lambda logits: int(logits.argmax())
    if not isinstance(generation, Sampling):
        return None
    random = np.random.default_rng(seed)

    def draw(logits: Tensor) -> int:
        cumulative = generation.distribution(logits.double().cpu()[None]).cumsum(-1)[0]  # [vocab]
        return int(torch.searchsorted(cumulative / cumulative[-1], random.random(), right=True))

    return draw


def _select(state: State, rows: Tensor) -> State:
    return map_state(lambda part: part.index_select(1, rows), state)


def _beside(first: Tensor, second: Tensor) -> Tensor:
    """Put the states of some rows beside those of others; the shorter ones get zeros at their ends (see `State`)."""
    longest = max(len(first), len(second))
    grown = [torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])]) for part in (first, second)]
    return torch.cat(grown, dim=1)
