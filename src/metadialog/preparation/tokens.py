"""Tokenizers and tokens that are prepared once and then taken from the cache.

Each entry's key is a digest of all that it depends on: the content of the files that were read, the options, and
the code that has made it. So a changed file, option or version is never served what is stale.
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
        texts: yields the texts to train on.
        trained_on: the topics that these are of.
        corpus_key: key of the corpus that the texts are of; None if it has none.
        cache: the cache folder; None if nothing is to be kept.
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
    """How often each length in tokens occurs in a topic: of turns, and of whole dialogues."""

    per_turn: Counter[int]
    per_dialogue: Counter[int]


def token_lengths(topics: Topics, tokenizer: PreparedTokenizer) -> dict[str, TokenLengths]:
    """Return the lengths of all dialogues of a corpus, by topic."""
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
    """Return a tokenizer together with the tokens of a whole corpus.

    Args:
        tokenizer: the tokenizer.
        dialogues: of the corpus.
        corpus_key: its key; None if it has none.
        cache: the cache folder; None if nothing is to be kept.
    """
    make = partial(write_tokens, dialogues, tokenizer)
    if corpus_key is None or cache is None:
        return PreparedTokenizer(tokenizer, TokenStore(temporary(make), dialogues))
    code = digest_code([tokens, text, "metadialog.tokenizers"])
    parts = {"corpus": corpus_key, "tokenizer": tokenizer.to_json(), "code": code}
    digest = key(**parts, library=tokenizers.__version__)
    return PreparedTokenizer(tokenizer, TokenStore(entry(cache / PREPARED / f"tokens-{digest}", make), dialogues))
