"""The language of a data set as ISO 639 code, which determines how metrics tokenise."""

import re

from metadialog.errors import ConfigError

# Languages without a two-letter code, with the code of a language that is written in the same way.
_SAME_WRITING = {
    **dict.fromkeys(("yue", "wuu", "nan", "hak", "lzh"), "zh"),
    **dict.fromkeys(("nod", "tts", "sou"), "th"),
    **dict.fromkeys(("shn", "mnw", "ksw"), "my"),
}
_NO_LANGUAGE = ("mis", "mul", "und", "zxx")
"""Codes of ISO 639-2 for uncoded, several, undetermined and no languages."""

# ISO 639-1 (id.loc.gov/vocabulary/iso639-1), and sh, which it had.
_ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st "
    "su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)


def check_language(code: str, option: str = "dataset.language") -> str:
    """Return the language code for metrics, which has two letters if possible.

    Raises:
        ConfigError: it does not have two or three lower-case letters, or is not a code of ISO 639.
    """
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ConfigError(f"{option}={code}: should be a language code, such as en, zh, de or ja")
    if not (code in _ISO_639_1.split() if len(code) == 2 else _is_registered(code)):
        raise ConfigError(f"{option}={code}: is the code of no language; it should be one, such as en, zh, de or ja")
    return _with_two_letters(code) if len(code) == 3 else code


def _is_registered(code: str) -> bool:
    """Tell whether a code of three letters is one of ISO 639."""
    import langcodes  # only these codes need it

    return code not in _NO_LANGUAGE and langcodes.tag_is_valid(code)


def _with_two_letters(code: str) -> str:
    import langcodes

    return _SAME_WRITING.get(code) or langcodes.standardize_tag(code, macro=True).partition("-")[0]
