"""Word tokenizer, which spells rare words."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

from annotated_types import Ge, Le
from tokenizers import Regex, pre_tokenizers

from metadialog.tokenizers.spelling import most_frequent, spelling_tokenizer
from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE, Tokenizer

# Scripts without spaces: each character is a piece.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Tibetan}\p{Myanmar}\p{Khmer}"
_LETTER = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{_UNSPACED}]]"
# A word includes the space before it and apostrophes inside it; punctuation is separate from letters, so that no piece
# can look like `<end>` or `<0x41>`.
PIECE = rf"[{_UNSPACED}]| ?{_LETTER}+(?:['\u2019]{_LETTER}+)*| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+|\s"

CHARACTER_SHARE = 4
"""Characters for spelling get at most a quarter of the free vocabulary; words get the rest."""


class WordTokenizer:
    """The most frequent words, each with the space before it, and punctuation separately.

    A word outside the vocabulary is encoded as characters, and a character outside it as bytes, all of which count, so
    that word perplexity is comparable with that of other tokenizers (see `Tokenizer`). Words that occur only once in
    training are also spelled, so that a model learns spelling.

    In Chinese, Japanese and Thai each character is a word.
    """

    def __init__(self, *, vocab_size: Annotated[int, Ge(MIN_VOCAB_SIZE), Le(10**7)]) -> None:
        """Set the maximum number of ids; a small corpus may give fewer."""
        self._vocab_size = vocab_size

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Count the words of texts, which are read once; their order does not matter."""
        splitter = pre_tokenizers.Split(Regex(PIECE), "isolated")
        words = Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))
        characters: Counter[str] = Counter()
        for word, count in words.items():
            for character in word:
                characters[character] += count
        room = self._vocab_size - MIN_VOCAB_SIZE
        entries = most_frequent(characters, room // CHARACTER_SHARE)
        known = set(entries)
        entries += [word for word in most_frequent(words, room) if word not in known]
        return spelling_tokenizer(entries[:room], splitter)
