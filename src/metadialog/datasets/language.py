"""The language of a data set as ISO 639 code, which determines how metrics tokenise."""

import re

from metadialog.errors import ConfigError

# Three-letter codes (ISO 639-2 and 639-3) of languages with a two-letter code, and of languages with the same writing.
# Metrics use two-letter codes.
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
        ConfigError: it is not of two or three small letters, or of two that ISO 639-1 does not have.
    """
    if not re.fullmatch("[a-z]{2,3}", code):
        raise ConfigError(f"{option}={code}: should be a language code, such as en, zh, de or ja")
    if len(code) == 2 and code not in _ISO_639_1.split():
        raise ConfigError(f"{option}={code}: is the code of no language; it should be one, such as en, zh, de or ja")
    return _TWO_LETTERS.get(code, code)
