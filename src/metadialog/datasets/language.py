"""The language of a data set's texts, as its ISO 639 code: metrics tokenise by it."""

import re

from metadialog.errors import ConfigError

# Three-letter codes (ISO 639-2 and 639-3) of languages that have a code of two letters, and of languages that are
# written as one of these is. Metrics know the codes of two letters.
_TWO_LETTERS = {
    **dict.fromkeys(("zho", "chi", "cmn", "yue", "wuu", "nan", "hak", "lzh"), "zh"),
    **dict.fromkeys(("tha", "nod", "tts", "sou"), "th"),
    **dict.fromkeys(("mya", "bur", "shn", "mnw", "ksw"), "my"),
    **dict.fromkeys(("bod", "tib"), "bo"),
    **dict.fromkeys(("deu", "ger"), "de"),
    **dict.fromkeys(("fra", "fre"), "fr"),
    **dict.fromkeys(("nld", "dut"), "nl"),
    **dict.fromkeys(("fas", "per", "pes"), "fa"),
    **dict.fromkeys(("ell", "gre"), "el"),
    **dict.fromkeys(("ces", "cze"), "cs"),
    **dict.fromkeys(("ron", "rum"), "ro"),
    **dict.fromkeys(("slk", "slo"), "sk"),
    "jpn": "ja",
    "khm": "km",
    "lao": "lo",
    "dzo": "dz",
    "eng": "en",
    "spa": "es",
    "ita": "it",
    "por": "pt",
    "rus": "ru",
    "ukr": "uk",
    "pol": "pl",
    "swe": "sv",
    "dan": "da",
    "nor": "no",
    "fin": "fi",
    "hun": "hu",
    "tur": "tr",
    "ara": "ar",
    "heb": "he",
    "hin": "hi",
    "ben": "bn",
    "urd": "ur",
    "tam": "ta",
    "tel": "te",
    "mar": "mr",
    "ori": "or",
    "kor": "ko",
    "vie": "vi",
    "ind": "id",
    "yor": "yo",
}


def check_language(code: str) -> str:
    """Return the language code that metrics know: of two letters, where the language has one.

    Raises:
        ConfigError: it is not of two or three small letters.
    """
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ConfigError(f"dataset.language={code}: should be a language code, such as en, zh, de or ja")
    return _TWO_LETTERS.get(code, code)
