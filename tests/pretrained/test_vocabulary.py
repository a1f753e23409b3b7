"""Pretrained vocabularies of every kind, mapped to our token ids."""

import json
from types import SimpleNamespace

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from metadialog.errors import ConfigError
from metadialog.pretrained.vocabulary import SHIFT, shifted, vocabulary_size
from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer

UNIGRAM = models.Unigram([("<unk>", 0.0), ("\u2581ab", -1.0), ("a", -2.0), ("b", -2.0), ("\u2581", -2.0)], 0, False)
# Id 3 is missing, and two tokens have the names of our special tokens.
PIECES = models.BPE({"a": 0, "b": 1, "ab": 2, "<pad>": 4, "<end>": 5}, [("a", "b")])


def wrapped(model: models.Model) -> SimpleNamespace:
    backend = tokenizers.Tokenizer(model)
    if isinstance(model, models.Unigram):
        backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.add_special_tokens(["<|close|>"])
    return SimpleNamespace(backend_tokenizer=backend)


@pytest.mark.parametrize("model", [UNIGRAM, PIECES])
def test_ids_move_up_and_ours_come_first(model: models.Model) -> None:
    theirs = wrapped(model)
    ours = Tokenizer(tokenizers.Tokenizer.from_str(shifted(theirs, SPECIAL_TOKENS)))
    assert ours.vocab_size == vocabulary_size(theirs)
    plain = theirs.backend_tokenizer.encode("abab", add_special_tokens=False).ids
    assert ours.encode("abab") == [token + SHIFT for token in plain]
    assert ours.decode(ours.encode("ab")) == "ab"


def test_their_special_tokens_are_not_found_inside_text() -> None:
    theirs = wrapped(models.BPE({"<": 0, "|": 1, "c": 2, ">": 3, "l": 4, "o": 5, "s": 6, "e": 7}, []))
    ours = Tokenizer(tokenizers.Tokenizer.from_str(shifted(theirs, SPECIAL_TOKENS)))
    assert len(theirs.backend_tokenizer.encode("<|close|>").ids) == 1
    assert len(ours.encode("<|close|>")) == len("<|close|>")


def test_an_unknown_kind_is_refused() -> None:
    content = json.dumps({"model": {"type": "Other"}})
    theirs = SimpleNamespace(backend_tokenizer=SimpleNamespace(to_str=lambda: content))
    with pytest.raises(ConfigError, match="a vocabulary of Other cannot be used"):
        shifted(theirs, SPECIAL_TOKENS)
