"""Vocabularies of words or characters that spell in bytes whatever they lack."""

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer

RESERVED = (*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256)))
"""What every vocabulary begins with; the bytes are called as `tokenizers` expects them for spelling."""

MIN_COUNT = 2
"""What training texts hold only once is spelled there: otherwise a model would meet spelling in new texts
alone, without ever having seen it."""


def spelling_tokenizer(entries: Iterable[str], splitter: pre_tokenizers.PreTokenizer | None) -> Tokenizer:
    """Build a tokenizer that knows its entries whole and spells everything else.

    Spelling goes by character, and by UTF-8 byte where a character is no entry either.

    Args:
        entries: words and characters, in the order of their ids.
        splitter: cuts text into the pieces that may be entries as a whole, and never makes a piece that looks
            like a special token or like `<0x41>`; None if all entries are single characters.
    """
    vocabulary = {entry: i for i, entry in enumerate(dict.fromkeys([*RESERVED, *entries]))}
    # A byte-pair model without a single merge: a piece is looked up as a whole if there is a splitter, then
    # its characters, then their bytes.
    model = models.BPE(vocabulary, [], byte_fallback=True, ignore_merges=splitter is not None)
    backend = tokenizers.Tokenizer(model)
    if splitter is not None:
        backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return Tokenizer(backend)


def most_frequent(counts: Counter[str], limit: int) -> list[str]:
    """Return up to `limit` entries that occur more than once, the most frequent first; ties go by text."""
    frequent = (entry for entry, count in counts.items() if count >= MIN_COUNT)
    return sorted(frequent, key=lambda entry: (-counts[entry], entry))[:limit]
