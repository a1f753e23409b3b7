"""Byte-level byte-pair encoding."""

from collections.abc import Iterable
from typing import Annotated

import tokenizers
from annotated_types import Ge, Le
from tokenizers import decoders, models, pre_tokenizers, trainers

from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE, SPECIAL_TOKENS, Tokenizer


class BytePairTokenizer:
    """Subword units, from single bytes to whole words, found by merging frequent pairs.

    Sennrich et al. 2016, "Neural machine translation of rare words with subword units", on bytes and with the
    word pattern of GPT-2 (Radford et al. 2019). It works for every script. Word perplexity is comparable with that of
    other tokenizers; see `Tokenizer`.
    """

    def __init__(self, *, vocab_size: Annotated[int, Ge(MIN_VOCAB_SIZE), Le(10**7)]) -> None:
        """Set the maximum number of ids; a small corpus may give fewer."""
        self._vocab_size = vocab_size

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """Learn the merges from texts, which are read once; their order does not matter."""
        trained = _with_model(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=self._vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        trained.train_from_iterator(texts, trainer)
        # Training has registered the special tokens for matching inside text; the model by itself has not.
        return Tokenizer(_with_model(trained.model))


def _with_model(model: models.Model) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend
