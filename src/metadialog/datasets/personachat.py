"""PersonaChat (Zhang et al. 2018) in the format of ConvAI2, with personas as topics as in PAML.

`train_self_original.txt`, `valid_self_original.txt` and `test_self_original.txt`, also as `..._no_cands.txt` (without
candidates) or `train_both_original.txt` and so on (with the persona of the other one):

    1 your persona: i like to remodel homes.
    2 your persona: i like to go hunting.
    3 hi , how are you today ?<TAB>i am spending time with my 4 sisters , what are you up to<TAB><TAB>one|two|...

(`partner's persona: ...` is ignored.) The numbers restart with each dialogue. A line holds the partner's turn, the
reply of the speaker with the persona, nothing or a reward, and candidates of the reply.
"""

import re
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable
from typing import Literal, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, LeftOut, Turn
from metadialog.datasets.local import LocalCopy, Root, read_lines
from metadialog.datasets.persona_groups import Persona, exact_groups, paml_groups, shared_groups
from metadialog.errors import DataError

FILES = {
    part: tuple(f"{part}_{shown}_original{cut}.txt" for shown in ("self", "both") for cut in ("", "_no_cands"))
    for part in ("train", "valid", "test")
}
SPEAKERS = ("partner", "persona")
UNKNOWN = "dialogues whose persona PAML's map does not have; dataset.personas=shared keeps them"
PUBLICATION = "ConvAI2, with train_self_original.txt, valid_self_original.txt or test_self_original.txt"

_LINE = re.compile(r"(\d{1,9}) (.*)", re.DOTALL)
_PERSONA = "your persona: "
_PARTNER = "partner's persona: "
_SILENCE = re.compile(r"__ ?SILENCE ?__")
_LAYOUT = "it should be 'NUMBER your persona: SENTENCE', or 'NUMBER TEXT<TAB>REPLY' and candidates"


class PersonaChatDataset(BaseDataset):
    """Dialogues of a speaker with a persona ("persona"); the persona is the topic.

    A dialogue has three to five sentences of a persona. `personas` determines which dialogues have the same persona:

    - `shared`: those whose personas share two sentences or more, directly or transitively;
    - `exact`: those with the same sentences;
    - `paml`: as in the files `train_persona_map` and so on of PAML's repository, which lie beside the texts;
      with them there are 1,137, 99 and 100 personas of two dialogues or more in the original PersonaChat.

    The name of a topic consists of the file, a number and a sentence, such as `train 0007 i like to go hunting`.
    """

    name = "personachat"
    source = "personachat"
    language = "en"

    def __init__(
        self, *, root: Root | None, personas: Literal["shared", "exact", "paml"], **cleaning: Unpack[CleaningOptions]
    ) -> None:
        """Set the local copy, and what counts as one persona.

        Raises:
            ConfigError: the root begins with `~user`, and there is no such home folder.
        """
        super().__init__(**cleaning)
        self._copy = LocalCopy(root, PUBLICATION)
        self._personas = personas

    @property
    def paper_split(self) -> str | None:  # type: ignore[override]
        """PAML's split, or the closest one if there is no test file, as in ConvAI2."""
        try:
            published = self._copy.path is None or self._copy.find(*FILES["test"]) is not None
        except DataError:  # there is no copy, which is reported when it is read
            published = True
        return "personachat" if published else "personachat-convai2"

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the files in the order train, valid, test, of those that are there.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line.
        """
        for part, file in self._files().items():
            yield from self._part(part, file)

    def sentences(self) -> dict[str, list[str]]:
        """Return the sentences of each persona by the name of its topic, as needed by `Consistency`.

        Raises:
            DataError: see `read`.
        """
        result: dict[str, dict[str, None]] = {}
        for part, file in self._files().items():
            for topic, _, persona, _ in self._dialogues(part, file):
                if topic is not None:
                    result.setdefault(topic, {}).update(dict.fromkeys(persona))
        return {topic: list(sentences) for topic, sentences in result.items()}

    def _files(self) -> dict[str, Traversable]:
        """Return the existing file of each part."""
        files = {part: file for part, names in FILES.items() if (file := self._copy.find(*names)) is not None}
        if not files:
            self._copy.need(*(names[0] for names in FILES.values()))
        return files

    def _part(self, part: str, file: Traversable) -> Iterator[Dialogue | LeftOut]:
        for topic, line, _, turns in self._dialogues(part, file):
            yield LeftOut(UNKNOWN) if topic is None else Dialogue(topic, turns, f"{file.name}:{line}")

    def _dialogues(self, part: str, file: Traversable) -> Iterator[tuple[str | None, int, Persona, tuple[Turn, ...]]]:
        """Yield the topic of each dialogue of a part (None: of no persona), its first line, its persona, its turns."""
        read = list(_read(file))
        groups = self._groups(part, [persona for _, persona, _ in read])
        first: dict[int, str] = {}
        for (line, persona, turns), group in zip(read, groups, strict=True):
            sentence = "" if group is None else first.setdefault(group, persona[0])
            yield None if group is None else f"{part} {group:04} {sentence}", line, persona, turns

    def _groups(self, part: str, personas: list[Persona]) -> Sequence[int | None]:
        """Number the personas of a part.

        Raises:
            DataError: the map of PAML's does not fit: most personas are not in it.
        """
        if self._personas != "paml":
            return (exact_groups if self._personas == "exact" else shared_groups)(personas)
        file = self._copy.need(f"{part}_persona_map")
        groups = paml_groups(personas, file)
        if 2 * groups.count(None) > len(groups):
            raise DataError(
                f"{file}: has no number for the persona of {groups.count(None)} of {len(groups)} dialogues; it should "
                f"be the map of {part}, or choose dataset.personas=shared"
            )
        return groups


def _read(file: Traversable) -> Iterator[tuple[int, Persona, tuple[Turn, ...]]]:
    """Yield the dialogues of a file: number of the first line, persona, turns."""
    first, expected = 1, 1
    persona: list[str] = []
    turns: list[Turn] = []
    for number, line in enumerate(read_lines(file), start=1):
        where = f"{file}:{number}"
        index, content = _parse(line, where)
        if index == 1 and number > 1:
            yield first, _complete(persona, f"{file}:{first}"), tuple(turns)
            first, expected, persona, turns = number, 1, [], []
        if index != expected:
            raise DataError(f"{where}: has the number {index}; it should be {expected}, or 1 for a new dialogue")
        expected += 1
        if content.startswith(_PARTNER):
            continue
        if content.startswith(_PERSONA):
            persona.append(_sentence(content, where))
        else:
            turns += _exchange(content, where)
    if expected == 1:
        raise DataError(f"{file}:1: holds no dialogue; {_LAYOUT}")
    yield first, _complete(persona, f"{file}:{first}"), tuple(turns)


def _parse(line: str, where: str) -> tuple[int, str]:
    result = _LINE.fullmatch(line)
    if not result:
        raise DataError(f"{where}: {line[:40]!r} has no number; {_LAYOUT}")
    return int(result[1]), result[2]


def _complete(persona: list[str], where: str) -> Persona:
    if not persona:
        raise DataError(f"{where}: the dialogue has no line 'your persona: ...'; it should begin with some")
    return tuple(persona)


def _sentence(content: str, where: str) -> str:
    """Return a sentence of a persona without its full stop, as PAML has it."""
    sentence = " ".join(content.removeprefix(_PERSONA).removesuffix(".").split())
    if not sentence:
        raise DataError(f"{where}: the persona's sentence is empty; {_LAYOUT}")
    return sentence


def _exchange(content: str, where: str) -> Iterator[Turn]:
    fields = content.split("\t")
    if len(fields) < 2:
        raise DataError(f"{where}: has no reply after a tab; {_LAYOUT}")
    for speaker, text in zip(SPEAKERS, fields, strict=False):
        if not _SILENCE.fullmatch(text.strip()):
            yield Turn(speaker, text)
