"""Detection of the language of dialogues by their script."""

from collections import Counter
from collections.abc import Sequence
from unicodedata import name

from metadialog.datasets.dialogue import Dialogue

UNKNOWN = "und"
"""Code of an undetermined language in ISO 639-2."""

# The first word of a letter's Unicode name, and the languages mostly written with it. Latin letters stand for all other
# languages.
_LANGUAGES = {
    "CJK": ("zh",),
    **dict.fromkeys(("HIRAGANA", "KATAKANA"), ("ja",)),
    "HANGUL": ("ko",),
    "THAI": ("th",),
    "LAO": ("lo",),
    "KHMER": ("km",),
    "MYANMAR": ("my",),
    "TIBETAN": ("bo", "dz"),
    "GREEK": ("el",),
    "HEBREW": ("he", "yi"),
    "ARMENIAN": ("hy",),
    "GEORGIAN": ("ka",),
    "BENGALI": ("bn", "as"),
    "TAMIL": ("ta",),
    "TELUGU": ("te",),
    "KANNADA": ("kn",),
    "MALAYALAM": ("ml",),
    "GUJARATI": ("gu",),
    "GURMUKHI": ("pa",),
    "SINHALA": ("si",),
    "ETHIOPIC": ("am", "ti"),
    "DEVANAGARI": ("hi", "mr", "ne", "sa"),
    "ARABIC": ("ar", "fa", "ur", "ps", "ku", "sd", "ug"),
    "CYRILLIC": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt"),
}
_KANA = 0.05  # share of letters from which a text is Japanese, regardless of Chinese characters


def language_of(dialogues: Sequence[Dialogue], own: str) -> str:
    """Return the ISO 639 code of the language of dialogues.

    Args:
        dialogues: dialogues, whose script determines one or several candidate languages.
        own: language of the model, which is returned if it is a candidate.
    """
    texts = "".join(turn.text for dialogue in dialogues for turn in dialogue.turns)
    scripts: Counter[str] = Counter()
    for character, count in Counter(texts).items():
        if character.isalpha():
            scripts[name(character, "").partition(" ")[0]] += count
    if not scripts:
        return own
    script = scripts.most_common(1)[0][0]
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if script == "CJK" and kana > _KANA * scripts.total():
        script = "HIRAGANA"
    if script not in _LANGUAGES:
        return UNKNOWN if any(own in languages for languages in _LANGUAGES.values()) else own
    languages = _LANGUAGES[script]
    return own if own in languages else languages[0] if len(languages) == 1 else UNKNOWN
