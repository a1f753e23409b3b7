"""The dialogues of the chatterbot-corpus package, with a folder per language and a YAML file per topic."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Unpack

import yaml
from chatterbot_corpus.corpus import DATA_DIRECTORY

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.errors import ConfigError, DataError

SPEAKERS = ("user", "bot")

# The ISO 639 codes of the folders; Hinglish is Hindi and English in Latin letters.
_CODES = {
    "bengali": "bn",
    "chinese": "zh",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "hebrew": "he",
    "hindi": "hi",
    "hinglish": "hi",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "marathi": "mr",
    "oriya": "or",
    "persian": "fa",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "tamil": "ta",
    "telugu": "te",
    "thai": "th",
    "traditionalchinese": "zh",
    "turkish": "tr",
    "ukrainian": "uk",
    "urdu": "ur",
    "yoruba": "yo",
}

# The base loaders keep every scalar as text: `Yes` and `1984` are replies here, not values.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class ChatterbotDataset(BaseDataset):
    """Conversations of one language of chatterbot-corpus.

    The topic is the file's stem (`ai`, `coding`, ...). An entry's texts are its turns, spoken by "user" and
    "bot" in alternation. In a few entries a dash is missing, so that YAML reads question and answer as one text. As the
    boundary is not certain, they become dialogues of one turn.
    """

    def __init__(self, *, language: str, **cleaning: Unpack[CleaningOptions]) -> None:
        """Set the language.

        Raises:
            ConfigError: the corpus has no such language.
        """
        super().__init__(**cleaning)
        valid = languages()
        if language not in valid:
            close = get_close_matches(language.lower(), valid, n=2, cutoff=0.7)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise ConfigError(f"dataset.language={language}: no such language; {hint}valid: {', '.join(valid)}")
        self.name = f"chatterbot-{language}"
        self.language = _CODES.get(language, "und")  # ISO 639 for a language that is not known
        self.paper_split: str | None = None
        self._folder = Path(DATA_DIRECTORY, language)

    def files(self) -> list[Path]:
        """Return the folder of the language."""
        return [self._folder]

    def dialogues(self) -> Iterator[Dialogue]:
        """Read all topics, sorted by file name.

        Raises:
            DataError: a file is malformed; the message names the file and the line.
        """
        for path in sorted(self._folder.glob("*.yml")):
            yield from read_topic(path)


def languages() -> list[str]:
    """Return the languages of the installed corpus, sorted."""
    return sorted({path.parent.name for path in Path(DATA_DIRECTORY).glob("*/*.yml")})


def read_topic(path: Path) -> Iterator[Dialogue]:
    """Read one YAML file of the corpus; the ids are `folder/file:line`.

    Raises:
        DataError: the file cannot be read, or is not a mapping with a list of `conversations`.
    """
    for entry in _conversations(path):
        line = entry.start_mark.line + 1
        texts = entry.value if isinstance(entry, yaml.SequenceNode) else [entry]
        turns = tuple(Turn(SPEAKERS[i % 2], _text(node, path)) for i, node in enumerate(texts))
        yield Dialogue(path.stem, turns, f"{path.parent.name}/{path.name}:{line}")


def _conversations(path: Path) -> list[yaml.Node]:
    try:
        document = yaml.compose(path.read_bytes(), Loader=_LOADER)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; it should be a YAML file") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise DataError(f"{path}:{line}: not valid YAML: {problem}; it should be UTF-8 YAML") from error
    entries = document.value if isinstance(document, yaml.MappingNode) else []
    for key, value in entries:
        if key.value == "conversations" and isinstance(value, yaml.SequenceNode):
            return list(value.value)
    raise DataError(f"{path}:1: has no list of conversations; it should have the key `conversations:`")


def _text(node: yaml.Node, path: Path) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    line = node.start_mark.line + 1
    raise DataError(f"{path}:{line}: a turn is not a text; it should be one string (put it in quotes)")
