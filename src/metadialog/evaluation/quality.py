"""How near generated replies come to the references, and how varied they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from metadialog.text import words


@dataclass(frozen=True, slots=True)
class ReplyQuality:
    """Scores of several replies together.

    Attributes:
        bleu: corpus BLEU (Papineni et al. 2002), 0 to 100, by sacrebleu.
        chrf: corpus chrF (Popovic 2015), 0 to 100, by sacrebleu.
        rouge_l: mean ROUGE-L F1 (Lin 2004), 0 to 1.
        distinct_1, distinct_2: distinct n-grams over all n-grams of the replies (Li et al. 2016), 0 to 1.
    """

    bleu: float
    chrf: float
    rouge_l: float
    distinct_1: float
    distinct_2: float


# Languages without spaces between words; sacrebleu has a tokenizer of its own for Chinese.
_BLEU_TOKENIZERS = {"zh": "zh", "ja": "char", "th": "char"}


def reply_quality(replies: Sequence[str], references: Sequence[str], language: str) -> ReplyQuality:
    """Score replies against their references.

    Args:
        replies: what the model said; may be empty texts.
        references: one for each reply, at least one.
        language: ISO 639 code of the texts; BLEU tokenises by it.

    Raises:
        ValueError: there are no replies, or not as many as references.
    """
    if not replies or len(replies) != len(references):
        raise ValueError(f"{len(replies)} replies, {len(references)} references; there should be as many, at least 1")
    from metadialog.evaluation.rouge import rouge_l  # slow to import, and not needed before here

    bleu, chrf = _metrics(language)
    bleu_score = bleu.corpus_score(list(replies), [list(references)]).score
    chrf_score = chrf.corpus_score(list(replies), [list(references)]).score
    rouge = [rouge_l(reference, reply) for reply, reference in zip(replies, references, strict=True)]
    return ReplyQuality(
        bleu=bleu_score,
        chrf=chrf_score,
        rouge_l=sum(rouge) / len(rouge),
        distinct_1=distinct(replies, 1),
        distinct_2=distinct(replies, 2),
    )


def signatures(language: str) -> dict[str, str]:
    """Return how sacrebleu computes BLEU and chrF of texts in a language, for whoever compares."""
    found = {}
    for name, metric in zip(("bleu", "chrf"), _metrics(language), strict=True):
        metric.corpus_score(["a"], [["a"]])  # it tells after it has scored something
        found[name] = str(metric.get_signature())
    return found


def _metrics(language: str) -> tuple[BLEU, CHRF]:
    # sacrebleu warns of tokenised input where every text ends in a full stop; ours is as people wrote it.
    return BLEU(tokenize=_BLEU_TOKENIZERS.get(language, "13a"), effective_order=False, force=True), CHRF()


def distinct(replies: Sequence[str], n: int) -> float:
    """Return distinct n-grams over all n-grams (n is 1 or 2) of the replies; 0 where there are none."""
    grams = [gram for reply in replies for gram in _grams(words(reply), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def _grams(tokens: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return iter(pairwise(tokens)) if n > 1 else ((token,) for token in tokens)
