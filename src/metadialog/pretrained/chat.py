"""The chat format of a pretrained model: the expansions of special tokens in its own tokens."""

from dataclasses import dataclass
from typing import Any

from metadialog.pretrained.bounded import bounded

_FIRST, _SECOND, _THIRD = "xqFIRSTqx", "xqSECONDqx", "xqTHIRDqx"


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The expansions of special tokens, as ids of the pretrained vocabulary.

    The first turn is `opening[...]`; each later one follows `close`. So `<begin> <other> Hi <self>` is, in SmolLM2's
    format, `<|im_start|>system ... <|im_end|> <|im_start|>user Hi <|im_end|> <|im_start|>assistant`.

    Attributes:
        begin: expansion of `<begin>`; at least one id.
        own: opens a turn of the responding speaker, `<self>`.
        others: opens a turn of another speaker, `<other>`.
        close: closes a turn before the next one.
        end: token that ends a response, `<end>`, the first of `close`.
        never: tokens that never occur in text.
    """

    begin: tuple[int, ...]
    own: tuple[int, ...]
    others: tuple[int, ...]
    close: tuple[int, ...]
    end: int
    never: tuple[int, ...]


def chat_format(tokenizer: Any, system: str | None) -> ChatFormat:  # noqa: ANN401
    """Derive the format from the tokenizer's chat template with a chat of three turns; use a plain one without it.

    Args:
        tokenizer: tokenizer of `transformers`.
        system: system message; None for that of the template.
    """
    pieces = None if not tokenizer.chat_template else _pieces(tokenizer, system)
    never = tuple(sorted(tokenizer.all_special_ids))
    if pieces is None:
        return _plain(tokenizer, system, never)
    before, between, again, after = pieces
    others, own = again.removeprefix(after), between.removeprefix(after)
    begin = _ids(tokenizer, before.removesuffix(others)) or _first(tokenizer)
    close = _ids(tokenizer, after)
    return ChatFormat(begin, _ids(tokenizer, own), _ids(tokenizer, others), close, close[0], never)


def _pieces(tokenizer: Any, system: str | None) -> list[str] | None:  # noqa: ANN401
    """Return the parts of the template before, between and after three turns; None if it is not a sequence of turns."""
    turns = [("user", _FIRST), ("assistant", _SECOND), ("user", _THIRD)]
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": content} for role, content in turns]
    rest = bounded(lambda: str(tokenizer.apply_chat_template(messages, tokenize=False)))
    if rest is None:
        return None
    pieces = []
    for content in (_FIRST, _SECOND, _THIRD):
        before, result, rest = rest.partition(content)
        if not result:
            return None
        pieces.append(before)
    pieces.append(rest)
    begins_alike = rest and pieces[1].startswith(rest) and pieces[2].startswith(rest)
    return pieces if begins_alike and pieces[0].endswith(pieces[2].removeprefix(rest)) else None


def _plain(tokenizer: Any, system: str | None, never: tuple[int, ...]) -> ChatFormat:  # noqa: ANN401
    """Return a format for models without a template: a line for each turn."""
    line = _ids(tokenizer, "\n")
    close = line if len(line) == 1 else (int(tokenizer.eos_token_id),)
    begin = _first(tokenizer) + (_ids(tokenizer, f"{system}\n") if system else ())
    others, own = _ids(tokenizer, "A: "), _ids(tokenizer, "B: ")
    return ChatFormat(begin, own, others, close, close[0], tuple(i for i in never if i != close[0]))


def _first(tokenizer: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Return the token at the beginning of a text."""
    named = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    first = next((one for one in named if one is not None), None)
    return _ids(tokenizer, "\n") if first is None else (int(first),)


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:  # noqa: ANN401
    return tuple(tokenizer.encode(text, add_special_tokens=False))
