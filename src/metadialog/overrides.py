"""Values in Hydra's override grammar, and overrides as typed in a shell."""

import re
import shlex
from collections.abc import Sequence

from metadialog.hydra_internals import HydraException, OverridesParser


def literal(value: object) -> str:
    """Write a plain value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{quote(str(k))}:{literal(v)}' for k, v in value.items())}}}"
    return quote(value) if isinstance(value, str) else repr(value)


def quote(text: str) -> str:
    r"""Quote a string for Hydra's grammar, where `\'` stands for a quote and `\\` before it for a backslash."""
    escaped = text.replace("\\'", "\\\\'").replace("'", "\\'")
    if escaped.endswith("\\"):
        escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"


def quote_foreign(argument: str) -> str:
    """Quote the words of an override that are in other alphabets, which Hydra's grammar does not allow unquoted.

    Arguments that are quoted already or are no overrides are returned unchanged.
    """
    key, equals, value = argument.partition("=")
    if not equals or value.isascii() or "'" in value or '"' in value or not key.isascii():
        return argument
    return f"{key}={_BARE.sub(lambda match: match[0] if match[0].isascii() else quote(match[0].strip()), value)}"


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Return overrides as Hydra reads them: words of other alphabets quoted, and several loggers as that choice.

    `logger=[wandb,tensorboard]` stands for `logger=several logger.use=[wandb,tensorboard]`.
    """
    lines = []
    for argument in arguments:
        several = _SEVERAL_LOGGERS.fullmatch(argument)
        lines += ["logger=several", f"logger.use={several[1]}"] if several else [quote_foreign(argument)]
    return lines


_SEVERAL_LOGGERS = re.compile(r"logger=(\[.*\])")
_BARE = re.compile(r"[^,\[\]{}()]+")
"""A part between the delimiters of a list, a dictionary or a sweep."""


def typed(key: str, text: str) -> str:
    """Format `key=text` for a shell, with as few quotes as possible."""
    bare = f"{key}={text}"
    return shlex.quote(bare if _reads(bare, text) else f"{key}={quote(text)}")


def _reads(line: str, text: str) -> bool:
    try:
        override = OverridesParser.create().parse_override(line)
    except HydraException:
        return False
    return not override.is_sweep_override() and override.value() == text
