"""How texts are compared: whatever their Unicode form, case and white space."""

from unicodedata import normalize

from metadialog.datasets.dialogue import Dialogue


def duplicate_key(dialogue: Dialogue) -> tuple[str, ...]:
    """Return what duplicates share: the turns' texts after NFKC, case folding and folding of white space."""
    return tuple(fold(turn.text) for turn in dialogue.turns)


def fold(text: str) -> str:
    """Return what is compared of a text: it after NFKC, case folding and folding of white space."""
    # Case folding can leave letters decomposed (as it does in Greek), so that they are composed once more.
    return " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())
