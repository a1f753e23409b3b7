"""Incremental decoding of tokens to text."""

from collections.abc import Sequence

from metadialog.tokenizers.tokenizer import Tokenizer

_UNFINISHED = "\ufffd"


def whole_characters(text: str) -> str:
    """Remove an incomplete character at the end of a reply, which may have been stopped at its maximum length."""
    return text.rstrip(_UNFINISHED)


class Text:
    """Decodes tokens incrementally, and holds back incomplete characters.

    Args:
        tokenizer: decodes tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._given = ""

    def grow(self, tokens: Sequence[int]) -> str:
        """Return the new part of the text.

        Args:
            tokens: all tokens so far.
        """
        ready = whole_characters(self._tokenizer.decode(tokens))
        if not ready.startswith(self._given):
            return ""
        piece = ready[len(self._given) :]
        self._given = ready
        return piece
