"""Character tokenizer."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from annotated_types import Ge, Le

from metadialog.tokenizers.spelling import most_frequent, spelling_tokenizer
from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE, Tokenizer


class CharacterTokenizer:
    """The most frequent characters (Unicode code points).

    A character outside the vocabulary is encoded as its UTF-8 bytes, all of which count, so that word perplexity is
    comparable with that of other tokenizers; see `Tokenizer`.
    """

    def __init__(self, *, vocab_size: Annotated[int, Ge(MIN_VOCAB_SIZE), Le(10**7)]) -> None:
        """Set the maximum number of ids; a small corpus may give fewer."""
        self._vocab_size = vocab_size

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Count the characters of texts, which are read once; their order does not matter."""
        counts = Counter(character for text in texts for character in text)
        return spelling_tokenizer(most_frequent(counts, self._vocab_size - MIN_VOCAB_SIZE), None)
