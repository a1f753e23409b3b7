"""The vocabulary of a pretrained model, among the ids of this package."""

import json
from pathlib import Path
from typing import Any

from metadialog.errors import ConfigError
from metadialog.pretrained.files import loading
from metadialog.pretrained.ids import sparse
from metadialog.runs.layout import TOKENIZER

SHIFT = 5
"""The first ids of every tokenizer here are the special tokens; those of a pretrained vocabulary follow them."""


def load_tokenizer(source: str, option: str) -> Any:  # noqa: ANN401 - transformers has no common type for them
    """Return the tokenizer of a pretrained model as `transformers` has it.

    Args:
        source: as `locate` returns it.
        option: what the user calls it.

    Raises:
        ConfigError: it has none that the `tokenizers` library can run.
    """
    from transformers import AutoTokenizer

    _check_ids(source, option)
    with loading(option, source):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ConfigError(f"{option}={source}: has no tokenizer of the `tokenizers` library")
    return tokenizer


def shifted(tokenizer: Any, special_tokens: tuple[str, ...]) -> str:  # noqa: ANN401
    """Return a pretrained tokenizer in the JSON of the `tokenizers` library, with our special tokens first.

    All ids move up by `SHIFT`. Tokens that the library would find inside text are no longer found there: a user who
    types `<|im_end|>` has typed ten characters.

    Args:
        tokenizer: as `load_tokenizer` returns it.
        special_tokens: ours.

    Raises:
        ConfigError: its vocabulary is of an unknown form.
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
    """Return a token of theirs by a name that none of ours has; no text holds it, whatever it is called."""
    return f"{token} of the pretrained vocabulary" if token in special_tokens else token


def vocabulary_size(tokenizer: Any) -> int:  # noqa: ANN401
    """Return the number of our ids: of the special tokens and of the pretrained vocabulary."""
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    return SHIFT + (len(vocabulary) if isinstance(vocabulary, list) else size(vocabulary))


def size(vocabulary: dict[str, int]) -> int:
    """Return the number of ids up to the highest."""
    return max(vocabulary.values()) + 1


def _check_ids(source: str, option: str) -> None:
    """Refuse a vocabulary that has hardly any of its ids, before the library makes room for all of them.

    Raises:
        ConfigError: it is one.
    """
    file = Path(source) / TOKENIZER
    if not file.is_file():
        return
    try:
        problem = sparse(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return  # as the library will say
    if problem is not None:
        raise ConfigError(f"{option}={source}: {TOKENIZER}: {problem}")
