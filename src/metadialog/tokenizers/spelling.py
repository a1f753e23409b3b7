"""Vocabularies of words or characters that encode everything else as bytes."""

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer

RESERVED = (*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)))
"""First entries of every vocabulary; bytes are named as `tokenizers` expects for byte fallback."""

MIN_COUNT = 2
"""Minimum frequency of an entry. Rarer words are spelled in training, so that a model learns spelling."""


def spelling_tokenizer(entries: Iterable[str], splitter: pre_tokenizers.PreTokenizer | None) -> Tokenizer:
    """Build a tokenizer with the given entries that spells everything else.

    Spelling is by character, or by UTF-8 byte for characters that are not entries.

    Args:
        entries: words and characters, in the order of their ids.
        splitter: divides text into pieces that may be entries; it must never give a piece that looks like a special
            token or like `<0x41>`; None if all entries are single characters.
    """
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys([*RESERVED, *entries]))}
    # A byte-pair model without merges: a piece is looked up as a whole if there is a splitter, then its characters,
    # then their bytes.
    model = models.BPE(vocabulary, [], byte_fallback=True, ignore_merges=splitter is not None)
    backend = tokenizers.Tokenizer(model)
    if splitter is not None:
        backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return Tokenizer(backend)


def most_frequent(counts: Counter[str], limit: int) -> list[str]:
    """Return up to `limit` entries that occur more than once, the most frequent first; ties are sorted by text."""
    frequent = (entry for entry, count in counts.items() if count >= MIN_COUNT)
    return sorted(frequent, key=lambda entry: (-counts[entry], entry))[:limit]
