"""Text that grows with the tokens it is decoded from."""

from collections.abc import Sequence

from metadialog.tokenizers.tokenizer import Tokenizer

_UNFINISHED = "\ufffd"


def whole_characters(text: str) -> str:
    """Return the text of a reply without a character at its end of which the last bytes are missing.

    A reply that has come to its greatest length may end anywhere.
    """
    return text.rstrip(_UNFINISHED)


class Text:
    """Decodes tokens piece by piece, and holds back a character until all its bytes are there.

    Args:
        tokenizer: decodes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._given = ""

    def grow(self, tokens: Sequence[int]) -> str:
        """Return what is new in the text.

        Args:
            tokens: all tokens so far.
        """
        ready = whole_characters(self._tokenizer.decode(tokens))
        if not ready.startswith(self._given):
            return ""
        piece = ready[len(self._given) :]
        self._given = ready
        return piece
