"""Text that grows with the tokens it is decoded from."""

from collections.abc import Sequence

from metadialog.tokenizers.tokenizer import Tokenizer

_UNFINISHED = "\ufffd"


class Text:
    """Decodes tokens piece by piece, and holds back a character until all its bytes are there.

    Args:
        tokenizer: decodes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._given = ""

    def grow(self, tokens: Sequence[int], *, whole: bool = False) -> str:
        """Return what is new in the text.

        Args:
            tokens: all tokens so far.
            whole: whether no more follow, so that nothing is held back.
        """
        text = self._tokenizer.decode(tokens)
        ready = text if whole else text.rstrip(_UNFINISHED)
        if not ready.startswith(self._given):
            return ""
        piece = ready[len(self._given) :]
        self._given = ready
        return piece
