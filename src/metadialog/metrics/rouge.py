"""ROUGE-L over our words."""

from collections.abc import Sequence

from metadialog.text import words


def rouge_l(reference: str, reply: str) -> float:
    """Return ROUGE-L F1 (Lin 2004, "ROUGE: A package for automatic evaluation of summaries"), 0 to 1.

    It is the harmonic mean of precision and recall of the longest common subsequence of lower-cased words; 0 where one
    of the texts has no word.
    """
    expected, said = words(reference.lower()), words(reply.lower())
    if not expected or not said:
        return 0.0
    common = _longest_common_subsequence(expected, said)
    precision, recall = common / len(said), common / len(expected)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def _longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Return its length, in time proportional to the product of the lengths and memory to the second."""
    lengths = [0] * (len(other) + 1)  # of the words of `one` so far and each beginning of `other`
    for word in one:
        before = 0  # the length without this word and the last of the beginning
        for index, match in enumerate(other, 1):
            above = lengths[index]
            lengths[index] = before + 1 if word == match else max(above, lengths[index - 1])
            before = above
    return lengths[-1]
