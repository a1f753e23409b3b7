"""The vocabulary of a pretrained model, mapped to the ids of this package."""

import json
from pathlib import Path
from typing import Any

from metadialog.errors import ConfigError
from metadialog.pretrained.files import loading
from metadialog.pretrained.ids import sparse
from metadialog.runs.layout import TOKENIZER

SHIFT = 5
"""Offset of the ids of a pretrained vocabulary, which follow the special tokens."""


def pretrained_tokenizer(source: str, option: str) -> Any:  # noqa: ANN401 - transformers has no common type for them
    """Return the `transformers` tokenizer of a pretrained model.

    Args:
        source: result of `locate`.
        option: name of the option, for messages.

    Raises:
        ConfigError: it has none for the `tokenizers` library.
    """
    from transformers import AutoTokenizer

    _check_ids(source, option)
    with loading(option, source):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ConfigError(f"{option}={source}: has no tokenizer of the `tokenizers` library")
    return tokenizer


def shifted(tokenizer: Any, special_tokens: tuple[str, ...]) -> str:  # noqa: ANN401
    """Return a pretrained tokenizer in the JSON format of the `tokenizers` library, with special tokens first.

    All ids are shifted by `SHIFT`. Its special tokens are no longer matched inside text: `<|im_end|>` typed by a user
    is ten characters.

    Args:
        tokenizer: result of `pretrained_tokenizer`.
        special_tokens: special tokens of this package.

    Raises:
        ConfigError: its vocabulary has an unknown format.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = content["model"]
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):  # of pairs of token and score, as Unigram has it
        theirs = [[_apart(token, special_tokens), score] for token, score in vocabulary]
        model["vocab"] = [[token, 0.0] for token in special_tokens] + theirs
        if model.get("unk_id") is not None:
            model["unk_id"] += SHIFT
    elif isinstance(vocabulary, dict):
        names = {number: token for token, number in vocabulary.items()}
        moved = dict(zip(special_tokens, range(SHIFT), strict=True))
        for number in range(size(vocabulary)):
            moved[_apart(names.get(number, f"<unused {number}>"), special_tokens)] = number + SHIFT
        model["vocab"] = moved
    else:
        raise ConfigError(f"tokenizer=pretrained: a vocabulary of {model.get('type')} cannot be used")
    content.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
    return json.dumps(content, ensure_ascii=False)


def _apart(token: str, special_tokens: tuple[str, ...]) -> str:
    """Rename a token of the pretrained vocabulary if it has the name of a special token."""
    return f"{token} of the pretrained vocabulary" if token in special_tokens else token


def vocabulary_size(tokenizer: Any) -> int:  # noqa: ANN401
    """Return the number of ids, including the special tokens."""
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    return SHIFT + (len(vocabulary) if isinstance(vocabulary, list) else size(vocabulary))


def size(vocabulary: dict[str, int]) -> int:
    """Return the highest id plus 1."""
    return max(vocabulary.values()) + 1


def _check_ids(source: str, option: str) -> None:
    """Refuse a vocabulary with sparse ids before the library allocates memory for all of them.

    Raises:
        ConfigError: the ids are sparse.
    """
    file = Path(source) / TOKENIZER
    if not file.is_file():
        return
    try:
        problem = sparse(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return  # reported by the library
    if problem is not None:
        raise ConfigError(f"{option}={source}: {TOKENIZER}: {problem}")
