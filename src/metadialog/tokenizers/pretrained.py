"""The tokenizer of a pretrained model."""

from collections.abc import Iterable
from typing import Annotated

import tokenizers
from annotated_types import MinLen

from metadialog.pretrained.files import locate
from metadialog.pretrained.vocabulary import load_tokenizer, shifted
from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer

_OPTION = "tokenizer.path"


class PretrainedTokenizer:
    """The vocabulary that a pretrained model reads and writes, for `model=pretrained` with the same path.

    Nothing is learned from the texts. Word perplexity counts words, and may be compared with that of the other
    tokenizers; see `Tokenizer`.

    Args:
        path: of the model, as in `PretrainedModel`.
    """

    def __init__(self, *, path: Annotated[str, MinLen(1)] | None) -> None:
        self.path = path

    def train(self, texts: Iterable[str]) -> Tokenizer:  # noqa: ARG002 - it has been trained
        """Return the tokenizer.

        Raises:
            ConfigError: there is none, or a library is not installed.
        """
        result = load_tokenizer(locate(self.path, _OPTION), _OPTION)
        return Tokenizer(tokenizers.Tokenizer.from_str(shifted(result, SPECIAL_TOKENS)))
