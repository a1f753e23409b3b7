"""A check of the token ids in files of the `tokenizers` library, which allocates memory up to the highest id."""

from collections.abc import Mapping
from typing import Any

MOST_UNUSED = 100_000
"""Maximum number of ids without a token, as in padded vocabularies."""


def sparse(content: object) -> str | None:
    """Return a message if the ids of a tokenizer are sparse; otherwise None.

    Args:
        content: content of `tokenizer.json`.
    """
    if not isinstance(content, Mapping):
        return None
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary: Any = model.get("vocab") if isinstance(model, Mapping) else None
    ids = [one.get("id") for one in added if isinstance(one, Mapping)] if isinstance(added, list) else []
    ids += list(vocabulary.values()) if isinstance(vocabulary, Mapping) else []
    numbers = [one for one in ids if isinstance(one, int)]
    highest = max(numbers, default=0)
    if highest <= MOST_UNUSED + 2 * len(numbers):
        return None
    return f"its {len(numbers):,} tokens have ids up to {highest:,}; nearly every id should have one"
