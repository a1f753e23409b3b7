"""Rules on the next token, given the tokens of the reply so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from metadialog.options import FROM_YAML, Options


@dataclass(frozen=True, slots=True)
class Rules:
    """What a reply may go on with, however tokens are chosen.

    Where the rules leave no token at all, they do not count.

    Attributes:
        min_tokens: the reply does not end before it has so many.
        repetition_penalty: the logits of tokens that the reply has already are divided by this where they are positive,
            multiplied by it where they are negative (Keskar et al. 2019, arXiv:1909.05858, section 4.1); 1 for none.
        no_repeat_ngrams: no sequence of so many tokens comes twice in a reply (Paulus et al. 2018, arXiv:1705.04304,
            section 2.5); 0 for no limit.
    """

    min_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngrams: int = 0

    def apply(self, logits: Tensor, said: Sequence[Sequence[int]], end_id: int) -> Tensor:
        """Return the logits of the next tokens as the rules have them; both `[rows, vocab]`.

        Args:
            logits: as the model has them; changed in place, if at all.
            said: the tokens of each row's reply so far.
            end_id: the token that ends a reply.
        """
        if self == Rules():
            return logits
        for row, tokens in zip(logits, said, strict=True):
            self._apply_to(row, tokens, end_id)
        return logits

    def _apply_to(self, row: Tensor, tokens: Sequence[int], end_id: int) -> None:
        if self.repetition_penalty != 1 and tokens:
            seen = torch.tensor(sorted(set(tokens)), device=row.device)
            values = row[seen]
            changed = torch.where(values > 0, values / self.repetition_penalty, values * self.repetition_penalty)
            row[seen] = changed.clamp(max=torch.finfo(row.dtype).max)  # of infinite logits nothing can be drawn
        banned = self._repeating(tokens)
        if len(tokens) < self.min_tokens:
            banned.append(end_id)
        kept = row[banned]
        row[banned] = -torch.inf
        if not bool(row.isfinite().any()):
            row[banned] = kept

    def _repeating(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens that would end a sequence that is there already."""
        size = self.no_repeat_ngrams
        if size == 0 or len(tokens) < size:
            return []
        last = tuple(tokens[len(tokens) - size + 1 :])
        grams = zip(*(tokens[start:] for start in range(size)), strict=False)
        return sorted({gram[-1] for gram in grams if gram[:-1] == last})


class Ruled(Options):
    """A way of generating whose replies keep to rules.

    Args:
        max_tokens: longest reply.
        min_tokens: shortest reply.
        repetition_penalty: see `Rules`; 1 for none.
        no_repeat_ngrams: see `Rules`; 0 for no limit.
    """

    max_tokens: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML
    min_tokens: Annotated[int, Ge(0), Le(10**6)] = 0
    repetition_penalty: Annotated[float, Gt(0), Le(100)] = 1.0
    no_repeat_ngrams: Annotated[int, Ge(0), Le(10**4)] = 0

    @property
    def rules(self) -> Rules:
        """What a reply may go on with."""
        return Rules(self.min_tokens, self.repetition_penalty, self.no_repeat_ngrams)
