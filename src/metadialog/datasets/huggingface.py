"""Any data set that the `datasets` library loads, from the Hugging Face hub or from this machine.

A row is a dialogue. One column holds its topic; another its turns, as a list of texts, or as a list of objects with
a text (and perhaps a speaker) each. Speakers come from the objects, from a column of their own with as many entries
as there are turns, or are "user" and "bot" in alternation.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Unpack

from annotated_types import MinLen

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError
from metadialog.extras import need

SPEAKERS = ("user", "bot")

Name = Annotated[str, MinLen(1)]


class HuggingFaceDataset(BaseDataset):
    """Dialogues of one part of such a data set; the module's docstring describes how its columns are read."""

    def __init__(
        self,
        *,
        path: Name,
        subset: Name | None,
        part: Name,
        topic: Name,
        turns: Name,
        text: Name | None,
        speaker: Name | None,
        language: str,
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Name the data set and its columns; nothing is loaded yet.

        Raises:
            ConfigError: `datasets` is not installed, or the language is no code.
        """
        super().__init__(**cleaning)
        need("datasets", "huggingface", "dataset=huggingface")
        self._path = path
        self._subset = subset
        self._part = part
        self._topic = topic
        self._turns = turns
        self._text = text
        self._speaker = speaker
        self.language = check_language(language)
        self.name = Path(path).name

    def dialogues(self) -> Iterator[Dialogue]:
        """Read row after row; the ids are `part:row`, from 0.

        Raises:
            DataError: the data set cannot be loaded, or a row is not as the options say.
            ConfigError: it has no such column, or its path begins with the home of a user who has none.
        """
        rows = self._load()
        names = getattr(rows.features[self._topic], "names", None)  # of labels, which are numbers in the rows
        for number, row in enumerate(rows):
            where = f"{self._path}: {self._part}[{number}]"
            topic = row[self._topic]
            if names is not None and isinstance(topic, int) and 0 <= topic < len(names):
                topic = names[topic]
            if isinstance(topic, bool) or not isinstance(topic, str | int) or not str(topic).strip():
                raise DataError(f"{where}: {self._topic} is {topic!r:.40}; it should be a text or a number")
            yield Dialogue(" ".join(str(topic).split()), tuple(self._turns_of(row, where)), f"{self._part}:{number}")

    def _load(self) -> Any:  # noqa: ANN401 - a `datasets.Dataset`
        import datasets

        here = expand(self._path, "dataset.path")
        if here.is_file():
            raise DataError(f"{here}: is a file; dataset.path should name the folder that it is in")
        try:
            if (here / "dataset_info.json").is_file():
                loaded = datasets.load_from_disk(str(here))
            elif (here / "dataset_dict.json").is_file():
                loaded = datasets.load_from_disk(str(here))[self._part]
            else:
                named = str(here) if here.is_dir() else self._path
                loaded = datasets.load_dataset(named, self._subset, split=self._part)
        except Exception as error:  # the library and what it calls raise many kinds
            problem = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"dataset.path={self._path}: {self._part} cannot be loaded: {problem}; dataset.path, dataset.subset "
                f"and dataset.part should name what load_dataset finds"
            ) from error
        columns = list(loaded.features)
        wanted = {"topic": self._topic, "turns": self._turns}
        for option, column in wanted.items():
            if column not in columns:
                raise ConfigError(f"dataset.{option}={column}: no such column; valid: {', '.join(sorted(columns))}")
        return loaded

    def _turns_of(self, row: Mapping[str, Any], where: str) -> Iterator[Turn]:
        turns = _rows(row[self._turns])
        if turns is None:
            raise DataError(f"{where}: {self._turns} is no list; it should be the list of turns")
        apart = None if self._speaker is None else _rows(row.get(self._speaker))
        if apart is not None and len(apart) != len(turns):
            raise DataError(
                f"{where}: {self._speaker} has {len(apart)} entries, but {self._turns} has {len(turns)}; "
                f"there should be a speaker for each turn"
            )
        for place, turn in enumerate(turns):
            here = f"{where}.{self._turns}[{place}]"
            text = turn.get(self._text) if isinstance(turn, Mapping) and self._text else turn
            speaker: object = SPEAKERS[place % 2]
            if self._speaker is not None:
                speaker = apart[place] if apart is not None else self._of_turn(turn, here)
            if not isinstance(text, str):
                raise DataError(f"{here} is {text!r:.40}; it should be a text, or dataset.text should name its key")
            yield Turn(" ".join(str(speaker).split()), text)

    def _of_turn(self, turn: object, here: str) -> object:
        if isinstance(turn, Mapping) and turn.get(self._speaker) is not None:
            return turn[self._speaker]
        raise DataError(f"{here}: has no {self._speaker}; dataset.speaker should name a column, or a key of each turn")


def _rows(value: object) -> Sequence[Any] | None:
    """Return a list of turns; the library may hold a list of objects as an object of lists."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return [dict(zip(value, entries, strict=False)) for entries in zip(*value.values(), strict=False)]
    return None
