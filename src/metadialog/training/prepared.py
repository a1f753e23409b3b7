"""Corpora, tokenizers and tokens that are prepared once and then taken from the cache.

Each entry's key is a digest of all that it depends on: the content of the files that were read, the options, and
the code that has made it. So a changed file, option or version is never served what is stale.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import tokenizers

from metadialog import text
from metadialog.cache.entries import entry, temporary
from metadialog.cache.keys import digest_code, digest_files, key
from metadialog.config import build
from metadialog.datasets.corpus import Corpus
from metadialog.datasets.dialogue import Dataset, FromFiles
from metadialog.datasets.store import DialogueStore, open_store, write_store
from metadialog.errors import DataError
from metadialog.samplers import tokens
from metadialog.samplers.tokens import PreparedTokenizer, TokenStore, write_tokens
from metadialog.tokenizers.tokenizer import Tokenizer, TokenizerTrainer

PREPARED = "prepared"
TOKENIZER = "tokenizer.json"

_ATTEMPTS = 3


class _ChangedError(Exception):
    """The files have changed while they were read."""


def prepared_corpus(node: Mapping[str, Any], source: Dataset, cache: Path) -> tuple[Corpus, str | None]:
    """Return the corpus of a data set, memory-mapped, and the key that it has in the cache.

    The key is None, and the corpus read for this run alone, if it is not known which files it comes from.

    Args:
        node: the config node of the data set.
        source: the data set.
        cache: the cache folder.

    Raises:
        DataError: the data set cannot be read, or changes all the time; nothing is left of it in the cache.
    """
    for _ in range(_ATTEMPTS):
        found = _corpus_key(node, source)
        if found is None:
            return open_store(temporary(partial(write_store, source))), None

        def write(folder: Path, expected: str = found) -> None:
            write_store(source, folder)
            if _corpus_key(node, source) != expected:
                raise _ChangedError

        try:
            return open_store(entry(cache / PREPARED / f"dialogues-{found}", write)), found
        except _ChangedError:
            continue
    raise DataError(f"dataset {source.name}: its files change while they are read; they should lie still")


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
    code = digest_code([_package(node), "metadialog.tokenizers"])
    parts = {"corpus": corpus_key, "topics": list(trained_on), "node": dict(node), "code": code}
    found = key(**parts, library=tokenizers.__version__)
    folder = entry(cache / PREPARED / f"tokenizer-{found}", lambda made: trainer.train(texts()).save(made / TOKENIZER))
    return Tokenizer.load(folder / TOKENIZER)


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
    found = key(**parts, library=tokenizers.__version__)
    return PreparedTokenizer(tokenizer, TokenStore(entry(cache / PREPARED / f"tokens-{found}", make), dialogues))


def _corpus_key(node: Mapping[str, Any], source: Dataset) -> str | None:
    if isinstance(source, FromFiles):
        paths = list(source.files())
    else:
        paths = [Path(node[option]).expanduser() for option in ("root", "path") if isinstance(node.get(option), str)]
    # What is not in files, such as a data set of a hub, may change without a sign: it is read anew each time.
    if not any(path.exists() for path in paths):
        return None
    code = digest_code([_package(node), "metadialog.datasets", text])
    return key(node=dict(node), name=source.name, files=digest_files(paths), code=code)


def _package(node: Mapping[str, Any]) -> str:
    """Return the name of the module that a config node's class is in."""
    return str(node["_target_"]).rpartition(".")[0]
