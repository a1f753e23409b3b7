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
    """Rules on the next token, independent of how tokens are chosen. If the rules allow no token, they are ignored.

    Attributes:
        min_tokens: minimum number of tokens before the reply may end.
        repetition_penalty: positive logits of tokens that are already in the reply are divided by this, negative ones
            multiplied (Keskar et al. 2019, arXiv:1909.05858, section 4.1); 1 for none.
        no_repeat_ngrams: length of token sequences that must not be repeated in a reply (Paulus et al. 2018,
            arXiv:1705.04304, section 2.5); 0 for no limit.
    """

    min_tokens: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngrams: int = 0

    def apply(self, logits: Tensor, said: Sequence[Sequence[int]], end_id: int) -> Tensor:
        """Apply the rules to the logits of the next tokens, `[rows, vocab]`.

        Args:
            logits: logits of the model; may be changed in place.
            said: tokens of each row's reply so far.
            end_id: token that ends a reply.
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
            row[seen] = changed.clamp(max=torch.finfo(row.dtype).max)  # infinite logits have no distribution
        banned = self._repeating(tokens)
        if len(tokens) < self.min_tokens:
            banned.append(end_id)
        kept = row[banned]
        row[banned] = -torch.inf
        if not bool(row.isfinite().any()):
            row[banned] = kept

    def _repeating(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens that would repeat a sequence."""
        size = self.no_repeat_ngrams
        if size == 0 or len(tokens) < size:
            return []
        last = tuple(tokens[len(tokens) - size + 1 :])
        grams = zip(*(tokens[start:] for start in range(size)), strict=False)
        return sorted({gram[-1] for gram in grams if gram[:-1] == last})


class Ruled(Options):
    """Base class of generation methods with rules.

    Args:
        max_tokens: maximum length of a reply.
        min_tokens: minimum length of a reply.
        repetition_penalty: see `Rules`; 1 for none.
        no_repeat_ngrams: see `Rules`; 0 for no limit.
    """

    max_tokens: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML
    min_tokens: Annotated[int, Ge(0), Le(10**6)] = 0
    repetition_penalty: Annotated[float, Gt(0), Le(100)] = 1.0
    no_repeat_ngrams: Annotated[int, Ge(0), Le(10**4)] = 0

    @property
    def rules(self) -> Rules:
        """The rules on the next token."""
        return Rules(self.min_tokens, self.repetition_penalty, self.no_repeat_ngrams)
