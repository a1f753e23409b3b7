"""BLEU of one reply, by sacrebleu."""

from functools import cache
from typing import Literal

from sacrebleu.metrics.bleu import BLEU

BleuTokenizer = Literal["13a", "zh", "char"]
"""How sacrebleu finds words: `13a` in languages with spaces, `zh` in Chinese, `char` in others without."""


def sentence_bleu(reference: str, reply: str, tokenizer: BleuTokenizer) -> float:
    """Return the BLEU of one reply (Papineni et al. 2002), 0 to 1.

    Of n-grams up to the reply's length, and with exponential smoothing where none is found, as sacrebleu does for
    single sentences (Chen and Cherry 2014): else the BLEU of most single replies would be 0.
    """
    return float(_scorer(tokenizer).sentence_score(reply, [reference]).score) / 100


@cache
def _scorer(tokenizer: BleuTokenizer) -> BLEU:
    return BLEU(tokenize=tokenizer, effective_order=True)
