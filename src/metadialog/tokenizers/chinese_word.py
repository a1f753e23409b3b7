"""Chinese word tokenizer, with jieba's segmentation."""

import logging
import math
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import tokenizers
from annotated_types import Ge, Le
from tokenizers import Regex, decoders, models, pre_tokenizers

from metadialog.extras import need
from metadialog.tokenizers.spelling import RESERVED, most_frequent
from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE, Tokenizer
from metadialog.tokenizers.word import CHARACTER_SHARE, PIECE

_RUN = r"\p{Han}+"
_HAN = re.compile(
    "[\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class ChineseWordTokenizer:
    """The most frequent Chinese words as jieba segments them; other scripts as in `WordTokenizer`.

    jieba (https://github.com/fxsjy/jieba) finds the words of the training texts. Text is then divided into the most
    probable sequence of words in the vocabulary, which is jieba's rule with the frequencies of the training texts, so
    that a saved tokenizer works without jieba. Other words are encoded as characters and unknown characters as bytes,
    all of which count, so that word perplexity (per character, in Chinese) is comparable with that of other tokenizers;
    see `Tokenizer`.
    """

    def __init__(self, *, vocab_size: Annotated[int, Ge(MIN_VOCAB_SIZE), Le(10**7)]) -> None:
        """Set the maximum number of ids; a small corpus may give fewer.

        Raises:
            ConfigError: jieba is not installed.
        """
        need("jieba", "chinese", "tokenizer=jieba")
        self._vocab_size = vocab_size

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Count the words of texts, which are read once; their order does not matter."""
        splitter = pre_tokenizers.Split(Regex(f"{_RUN}|{PIECE}"), "isolated")
        words: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as folder:
            cut = _segmenter(folder)
            for text in texts:
                words.update(word for piece, _ in splitter.pre_tokenize_str(text) for word in cut(piece))
        entries = _entries(words, self._vocab_size - MIN_VOCAB_SIZE)
        return Tokenizer(_backend({entry: words[entry] for entry in entries}, splitter))


def _segmenter(folder: str) -> Callable[[str], Iterator[str]]:
    """Return a function that divides a run of Chinese characters into words, and leaves other pieces unchanged.

    Args:
        folder: temporary folder for jieba's dictionary. jieba's default is a file shared by all users of the machine,
            which it reads without checks.
    """
    with warnings.catch_warnings():  # its source has escapes that newer Python versions warn about
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(logging.WARNING)
    segmenter = jieba.Tokenizer()
    segmenter.tmp_dir = folder

    def cut(piece: str) -> Iterator[str]:
        if _HAN.match(piece):
            yield from segmenter.cut(piece)
        else:
            yield piece

    return cut


def _entries(words: Counter[str], room: int) -> list[str]:
    """Return the entries of the vocabulary: characters for spelling, and words."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    entries = most_frequent(characters, room // CHARACTER_SHARE)
    known = set(entries)
    return [*entries, *(word for word in most_frequent(words, room) if word not in known)][:room]


def _backend(counts: dict[str, int], splitter: pre_tokenizers.PreTokenizer) -> tokenizers.Tokenizer:
    # A character that is not a word by itself counts half, as it is used only if no word fits.
    total = sum(counts.values()) + 1
    scores = {entry: math.log(max(count, 0.5) / total) for entry, count in counts.items()}
    # No piece looks like a reserved entry, so their scores are never used.
    least = min(scores.values(), default=0.0)
    vocabulary = [*((entry, least) for entry in RESERVED), *scores.items()]
    backend = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend
