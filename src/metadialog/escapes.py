"""Escape control characters and direction marks in untrusted text before it is shown in a terminal."""

import json
import unicodedata

_KEPT = "\n\t"
# Format characters (Cf) that are part of correct spelling and do not change the direction of a line.
_SPELLING = "\u00ad\u200c\u200d"


def escaped(text: str) -> str:
    r"""Return a text with its control characters, direction marks and lone surrogates as `\x1b` or `\u202e`.

    Line ends and tabs are kept, as are characters needed in spelling (soft hyphens, zero-width joiners).
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(character) if _is_hidden(character) else character for character in text)


def escaped_json(text: str) -> str:
    r"""Return JSON with the same characters escaped as `\u001b` or `\u202e`, so that its values stay the same."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(json.dumps(character)[1:-1] if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    if character in _KEPT or character in _SPELLING:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, limit: int = 200) -> str:
    """Return a text on one line, shortened in the middle if it is longer than `limit` characters."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    kept = (limit - 5) // 2
    return f"{line[:kept]} ... {line[-kept:]}"
