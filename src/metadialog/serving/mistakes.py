"""Messages for malformed requests: the field, what is wrong with it, and what would be right."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from metadialog.config import nearest
from metadialog.serving.bodies import AdaptationRequest, GenerationBody, ReplyRequest, ScoreRequest, TurnBody

REQUESTS: Mapping[str, type[BaseModel]] = {
    "/v1/adaptations": AdaptationRequest,
    "/v1/replies": ReplyRequest,
    "/v1/scores": ScoreRequest,
}
"""The bodies of requests by path."""

_TURN = 'a text, or an object such as {"speaker": "Ann", "text": "Hello."}'
_RIGHT = {
    r"context": "a text, or a list of turns, the oldest first",
    r"context\.\d+": _TURN,
    r"dialogues": 'a list of dialogues, such as [["a turn", "its answer"]]',
    r"dialogues\.\d+": 'a list of turns, such as ["a turn", "its answer"]',
    r"dialogues\.\d+\.\d+": _TURN,
    r"generation": 'an object of options, such as {"temperature": 0.7}',
    r"held_out": '"auto", or a whole number, 0 or more',
    r"model": "a name that GET /v1/models lists, with letters, digits, '.', '_' and '-' only",
    r"adaptation": "the id that POST /v1/adaptations returned",
}
"""What fields should be, by a pattern of their names."""

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
}
"""What values should be, by the type of pydantic's error."""

_MOST_SHOWN = 40  # characters of a value


def malformed(errors: Sequence[Mapping[str, Any]], path: str) -> str:
    """Return a one-sentence message for pydantic's errors of a request.

    Args:
        errors: as `RequestValidationError.errors()` returns them.
        path: path of the request, a key of `REQUESTS`.
    """
    # A value of several possible types has errors for each; the innermost error is of the type that was meant. Of a
    # missing and an unknown field, the unknown one is reported: it may be the other one, misspelt.
    error = max(errors, key=lambda error: (len(error["loc"]), error["type"] == "extra_forbidden"))
    # Between the keys are names of types, such as `constrained-str`, `list[...]` and `TurnBody`.
    keys = [str(part) for part in error["loc"] if re.fullmatch("[A-Za-z0-9_]+", str(part)) and part != "TurnBody"]
    keys.pop(0)  # "body"
    if error["type"] == "json_invalid":
        return f"the request is not valid JSON at character {keys[-1]}: {error['ctx']['error']}"
    if not keys:
        return _no_object(error)
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(keys)}: there is no such field; {nearest(keys[-1], _fields(keys, path))}"
    return f"{'.'.join(keys)}: {_problem(error, '.'.join(keys))}"


def _no_object(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "the request has no body; it should be a JSON object, as /docs describes"
    if isinstance(error["input"], bytes):
        return "the request has no header Content-Type: application/json; send it, and a JSON object as the body"
    return f"the request is {_shown(error['input'])}; it should be a JSON object, as /docs describes"


def _fields(keys: Sequence[str], path: str) -> Mapping[str, Any]:
    """Return the fields of the object that an unknown key is in."""
    if len(keys) == 1:
        return REQUESTS[path].model_fields
    return (GenerationBody if keys[0] == "generation" else TurnBody).model_fields


def _problem(error: Mapping[str, Any], field: str) -> str:
    kind, given = error["type"], error["input"]
    if kind == "missing":
        return f"is missing; it should be {_right(field) or 'a text'}"
    if kind == "string_unicode":
        return "holds half of a character (a lone surrogate); write both halves, or the character"
    if kind == "string_too_long":
        return f"has {len(given):,} characters; it should have {error['ctx']['max_length']:,} or fewer"
    if kind == "string_too_short":
        return f"is empty; it should be {_right(field) or 'a text'}"
    right = _right(field) or _KINDS.get(kind) or _range(error) or error["msg"]
    return f"is {_shown(given)}; it should be {right}"


def _right(field: str) -> str | None:
    return next((right for pattern, right in _RIGHT.items() if re.fullmatch(pattern, field)), None)


def _range(error: Mapping[str, Any]) -> str | None:
    context = error.get("ctx", {})
    words = {"ge": "{:,} or more", "gt": "more than {:,}", "le": "{:,} or less", "lt": "less than {:,}"}
    found = [words[key].format(_plain(context[key])) for key in words if key in context]
    return found[0] if found else context.get("expected")


def _plain(bound: float) -> float:
    return int(bound) if bound == int(bound) else bound


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
