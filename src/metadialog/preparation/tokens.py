"""Tokenizers and tokenized corpora, prepared once and then taken from the cache.

The key of an entry is a digest of everything that it depends on: the content of the files, the options and the code.
Entries are therefore never stale.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers

from metadialog import text
from metadialog.cache.entries import entry, temporary
from metadialog.cache.keys import digest_code, key
from metadialog.config import build
from metadialog.datasets.dialogues import DialogueStore
from metadialog.preparation.topics import PREPARED, Topics, package
from metadialog.runs.layout import TOKENIZER
from metadialog.samplers import tokens
from metadialog.samplers.tokens import PreparedTokenizer, TokenStore, write_tokens
from metadialog.tokenizers.tokenizer import Tokenizer, TokenizerTrainer


def train_tokenizer(node: Mapping[str, Any], topics: Topics) -> PreparedTokenizer:
    """Train the tokenizer on the meta-train topics only, and tokenize the whole corpus with it."""

    def texts() -> Iterator[str]:
        for dialogues in topics.of(topics.split.train).values():
            for dialogue in dialogues:
                yield from (turn.text for turn in dialogue.turns)

    tokenizer = prepared_tokenizer(node, texts, topics.split.train, topics.key, topics.cache)
    return prepared_tokens(tokenizer, topics.corpus.store, topics.key, topics.cache)


def prepared_tokenizer(
    node: Mapping[str, Any],
    texts: Callable[[], Iterator[str]],
    trained_on: Sequence[str],
    corpus_key: str | None,
    cache: Path | None,
) -> Tokenizer:
    """Return a trained tokenizer.

    Args:
        node: the config node of the tokenizer.
        texts: returns an iterator over the training texts.
        trained_on: topics of these texts.
        corpus_key: cache key of the corpus of the texts; None if it has none.
        cache: cache folder; None to cache nothing.
    """
    trainer: TokenizerTrainer = build(node)
    if corpus_key is None or cache is None:
        return trainer.train(texts())
    code = digest_code([package(node), "metadialog.tokenizers"])
    parts = {"corpus": corpus_key, "topics": list(trained_on), "node": dict(node), "code": code}
    digest = key(**parts, library=tokenizers.__version__)
    folder = entry(cache / PREPARED / f"tokenizer-{digest}", lambda made: trainer.train(texts()).save(made / TOKENIZER))
    return Tokenizer.load(folder / TOKENIZER)


@dataclass(frozen=True, slots=True)
class TokenLengths:
    """Frequencies of the lengths, in tokens, of the turns and of the dialogues of a topic."""

    per_turn: Counter[int]
    per_dialogue: Counter[int]


def token_lengths(topics: Topics, tokenizer: PreparedTokenizer) -> dict[str, TokenLengths]:
    """Return the token lengths of all dialogues of a corpus, by topic."""
    results = {}
    for topic, dialogues in topics.corpus.topics.items():
        per_turn: Counter[int] = Counter()
        per_dialogue: Counter[int] = Counter()
        for row in dialogues.rows.tolist():
            lengths = tokenizer.prepared.tokens(row).lengths  # [turns]
            per_turn.update(lengths.tolist())
            per_dialogue[int(lengths.sum())] += 1
        results[topic] = TokenLengths(per_turn, per_dialogue)
    return results


def prepared_tokens(
    tokenizer: Tokenizer, dialogues: DialogueStore, corpus_key: str | None, cache: Path | None
) -> PreparedTokenizer:
    """Return a tokenizer together with the tokenized corpus.

    Args:
        tokenizer: the tokenizer.
        dialogues: dialogues of the corpus.
        corpus_key: cache key of the corpus; None if it has none.
        cache: cache folder; None to cache nothing.
    """
    make = partial(write_tokens, dialogues, tokenizer)
    if corpus_key is None or cache is None:
        return PreparedTokenizer(tokenizer, TokenStore(temporary(make), dialogues))
    code = digest_code([tokens, text, "metadialog.tokenizers"])
    parts = {"corpus": corpus_key, "tokenizer": tokenizer.to_json(), "code": code}
    digest = key(**parts, library=tokenizers.__version__)
    return PreparedTokenizer(tokenizer, TokenStore(entry(cache / PREPARED / f"tokens-{digest}", make), dialogues))
