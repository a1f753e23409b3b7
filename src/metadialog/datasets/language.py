"""The language of a data set's texts, as its ISO 639 code: metrics tokenise by it."""

import re

from metadialog.errors import ConfigError


def check_language(code: str) -> str:
    """Return a code that is one.

    Raises:
        ConfigError: it is not of two or three small letters.
    """
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ConfigError(f"dataset.language={code}: should be a language code, such as en, zh, de or ja")
    return code
