"""The tokenizer of a pretrained model."""

from collections.abc import Iterable
from typing import Annotated

import tokenizers
from annotated_types import MinLen

from metadialog.pretrained.files import locate
from metadialog.pretrained.vocabulary import pretrained_tokenizer, shifted
from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer

_OPTION = "tokenizer.path"


class PretrainedTokenizer:
    """The vocabulary of a pretrained model, for `model=pretrained` with the same path.

    Nothing is learned from the texts. Word perplexity is comparable with that of other tokenizers; see `Tokenizer`.

    Args:
        path: path of the model, as in `PretrainedModel`.
    """

    def __init__(self, *, path: Annotated[str, MinLen(1)] | None) -> None:
        self.path = path

    def train(self, texts: Iterable[str]) -> Tokenizer:  # noqa: ARG002 - already trained
        """Return the tokenizer.

        Raises:
            ConfigError: there is none, or a library is not installed.
        """
        result = pretrained_tokenizer(locate(self.path, _OPTION), _OPTION)
        return Tokenizer(tokenizers.Tokenizer.from_str(shifted(result, SPECIAL_TOKENS)))
