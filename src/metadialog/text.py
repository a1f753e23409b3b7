"""The definitions of words, of equal texts, and of counted nouns in messages."""

import re
from unicodedata import normalize

# Scripts written without spaces: each of their characters counts as one word.
_IDEOGRAPH = (
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # kana, CJK ideographs
    r"\u0e00-\u0eff"  # Thai, Lao
    r"\u0f00-\u0fff"  # Tibetan
    r"\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    r"\u1780-\u17ff"  # Khmer
    r"\U00020000-\U0003ffff]"  # further CJK ideographs
)
_WORD = re.compile(rf"{_IDEOGRAPH}|(?:(?!{_IDEOGRAPH})\S)+")


UNSPACED = ("zh", "ja", "th", "lo", "my", "km", "bo", "dz")
"""Languages without spaces between words, by ISO 639 code."""


def word_unit(language: str) -> str:
    """Return the unit that counts as a word in a language (ISO 639 code): "character" if it has no spaces."""
    return "character" if language in UNSPACED else "word"


def words(text: str) -> list[str]:
    """Split text into words: runs without white space, and single characters of scripts without spaces.

    Chinese, Japanese, Thai and a few others (`UNSPACED`) have no spaces between words, so each of their characters is
    a word here; word perplexity is then per character.
    """
    return _WORD.findall(text)


def counted(number: int, noun: str) -> str:
    """Return a number with what is counted: `1 inner step`, `2 inner steps`, `3 replies`.

    Args:
        number: how many.
        noun: in the singular; its last word takes the plural.
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("s"):
        return f"{number:,} {noun}es"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("ly") else f"{number:,} {noun}s"


def fold(text: str) -> str:
    """Return a text after NFKC, case folding and folding of white space, for comparisons."""
    # Case folding can decompose letters (as in Greek), so they are composed again.
    return " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())
