"""Metrics of the quality and diversity of generated replies."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from metadialog.text import UNSPACED, words

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF


@dataclass(frozen=True, slots=True)
class ReplyQuality:
    """Metrics over several replies.

    Attributes:
        bleu: corpus BLEU (Papineni et al. 2002), 0 to 100, by sacrebleu.
        chrf: corpus chrF (Popovic 2015), 0 to 100, by sacrebleu.
        rouge_l: mean ROUGE-L F1 (Lin 2004), 0 to 1.
        distinct_1, distinct_2: distinct n-grams over all n-grams of the replies (Li et al. 2016), 0 to 1.
        entropy: entropy of the distribution of the replies' words (Zhang et al. 2018, arXiv:1809.05972, Ent-1), nats.
        length_ratio: number of words of the replies over that of the references; infinite if these have none.
        repetition: share of repeated word pairs in a reply, mean over replies (Welleck et al. 2020,
            arXiv:1908.04319, seq-rep-n; n = 2 here, as replies are short), 0 to 1.
    """

    bleu: float
    chrf: float
    rouge_l: float
    distinct_1: float
    distinct_2: float
    entropy: float
    length_ratio: float
    repetition: float


BleuTokenizer = Literal["13a", "zh", "char"]
"""Tokenizer of sacrebleu: `13a` for languages with spaces, `zh` for Chinese, `char` for others without spaces."""

# Languages without spaces between words; sacrebleu has its own tokenizer for Chinese.
_BLEU_TOKENIZERS: dict[str, BleuTokenizer] = {**dict.fromkeys(UNSPACED, "char"), "zh": "zh"}


def reply_quality(replies: Sequence[str], references: Sequence[str], language: str) -> ReplyQuality:
    """Score replies against their references.

    Args:
        replies: replies of the model; may be empty texts.
        references: reference responses, one for each reply; at least one.
        language: ISO 639 code of the texts, which determines the tokenizer of BLEU.

    Raises:
        ValueError: there are no replies, or their number differs from that of the references.
    """
    if not replies or len(replies) != len(references):
        raise ValueError(
            f"{len(replies)} replies, {len(references)} references; there should be equally many, at least 1"
        )
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
        entropy=entropy(replies),
        length_ratio=length_ratio(replies, references),
        repetition=repetition(replies),
    )


def signatures(language: str) -> dict[str, str]:
    """Return the signatures with which sacrebleu computes BLEU and chrF in a language."""
    results = {}
    for name, metric in zip(("bleu", "chrf"), _metrics(language), strict=True):
        metric.corpus_score(["a"], [["a"]])  # the signature is available only after scoring
        results[name] = str(metric.get_signature())
    return results


def _metrics(language: str) -> "tuple[BLEU, CHRF]":
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    # sacrebleu warns about tokenised input if every text ends in a full stop, but the texts are untokenised.
    return BLEU(tokenize=_BLEU_TOKENIZERS.get(language, "13a"), effective_order=False, force=True), CHRF()


def distinct(replies: Sequence[str], n: int) -> float:
    """Return distinct n-grams over all n-grams (n is 1 or 2) of the replies; 0 if there are none."""
    grams = [gram for reply in replies for gram in _grams(words(reply), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def entropy(replies: Sequence[str]) -> float:
    """Return the entropy of the distribution of words over all replies, nats; 0 if there are none."""
    counts = Counter(word for reply in replies for word in words(reply))
    total = counts.total()
    return -math.fsum(count / total * math.log(count / total) for count in counts.values())


def length_ratio(replies: Sequence[str], references: Sequence[str]) -> float:
    """Return the number of words of all replies over that of all references."""
    said, expected = (sum(len(words(text)) for text in texts) for texts in (replies, references))
    return said / expected if expected else math.inf


def repetition(replies: Sequence[str]) -> float:
    """Return the share of word pairs that a reply repeats, mean over replies; 0 for a reply without pairs."""
    return math.fsum(1 - distinct([reply], 2) if len(words(reply)) > 1 else 0.0 for reply in replies) / len(replies)


def _grams(tokens: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return iter(pairwise(tokens)) if n > 1 else ((token,) for token in tokens)


def sentence_bleu(reference: str, reply: str, tokenizer: BleuTokenizer) -> float:
    """Return the BLEU of one reply (Papineni et al. 2002), 0 to 1.

    It uses n-grams up to the reply's length, and exponential smoothing if there is no match, as sacrebleu does for
    single sentences (Chen and Cherry 2014). Otherwise the BLEU of most single replies would be 0.
    """
    return float(_scorer(tokenizer).sentence_score(reply, [reference]).score) / 100


@cache
def _scorer(tokenizer: BleuTokenizer) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenizer, effective_order=True)


def rouge_l(reference: str, reply: str) -> float:
    """Return ROUGE-L F1 (Lin 2004, "ROUGE: A package for automatic evaluation of summaries"), 0 to 1.

    It is the harmonic mean of precision and recall of the longest common subsequence of lower-cased words; 0 if one of
    the texts has no words.
    """
    expected, said = words(reference.lower()), words(reply.lower())
    if not expected or not said:
        return 0.0
    common = _longest_common_subsequence(expected, said)
    precision, recall = common / len(said), common / len(expected)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def _longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Return its length, in time proportional to the product of the lengths and memory proportional to the second."""
    lengths = [0] * (len(other) + 1)  # for the words of `one` so far and each prefix of `other`
    for word in one:
        before = 0  # the length without this word and the last of the prefix
        for index, match in enumerate(other, 1):
            above = lengths[index]
            lengths[index] = before + 1 if word == match else max(above, lengths[index - 1])
            before = above
    return lengths[-1]
