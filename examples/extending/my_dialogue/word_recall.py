"""A metric of your own: how much of what was said is in the reply."""

from collections.abc import Sequence

from metadialog.metrics.base import ReplyMetric
from metadialog.text import words


class WordRecall(ReplyMetric):
    """The share of the references' different words that the replies have, 0 to 1.

    Args:
        at_least: letters of a word that counts.
    """

    at_least: int = 1

    def score(self, replies: Sequence[str], references: Sequence[str], language: str, topic: str) -> float:  # noqa: ARG002
        """Score the replies to the query exchanges of an episode."""
        shares = []
        for reply, reference in zip(replies, references, strict=True):
            wanted = {word for word in words(reference.lower()) if len(word) >= self.at_least}
            shares.append(len(wanted & set(words(reply.lower()))) / len(wanted) if wanted else 1.0)
        return sum(shares) / len(shares)
