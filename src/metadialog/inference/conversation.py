"""A conversation with a model, and its commands."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.jsonl import SPEAKERS
from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import ConfigError, DataError, MetadialogError
from metadialog.inference.adapting import AdaptingAside, advice, curve_line, divide
from metadialog.inference.dialogues import as_dialogues
from metadialog.inference.folder import to_jsonl
from metadialog.inference.generations import GenerationLike, as_generation
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import CurvePoint
from metadialog.runs.atomic import write_atomically
from metadialog.text import counted

USER, BOT = SPEAKERS
MOST_CHARACTERS = 100_000
"""Maximum length of a line."""

HELP = """\
/adapt FILE        adapt to the dialogues of a file: JSON, CSV, a chat's export, a turn a line, ...
/before            answer the last turn without adaptation
/why               the nearest exchanges that the model was adapted to
/temperature 0.7   draw words, the more freely the higher; 0: the most probable ones
/save FILE         write the conversation, as JSON Lines
/reset             start again, without adaptation
/help              this list
/quit              end"""

NO_WORDS = "(no words)"
"""What is shown in place of an empty reply."""


@dataclass(slots=True)
class Conversation:
    """The state of a conversation.

    Attributes:
        base: the model before adaptation.
        model: the model that replies.
        generation: how replies are generated; None for the model's own options.
        turns: turns so far.
        seed: seed of sampling, which changes with each reply.
        ended: whether the user has ended the conversation.
        saved: files that this conversation was written to; other files that exist are not replaced.
    """

    base: AdaptableModel
    model: AdaptableModel
    generation: GenerationLike = None
    turns: list[Turn] = field(default_factory=list)
    seed: int = 0
    ended: bool = False
    saved: set[Path] = field(default_factory=set)

    def answer(self, line: str) -> Generator[str, None, None]:
        """Yield the answer to a line of the user piece by piece; a command begins with a slash.

        Errors are reported in a sentence, and the conversation continues.
        """
        line = line.strip()
        if not line:
            return
        try:
            if len(line) > MOST_CHARACTERS:
                raise DataError(f"the line has more than {MOST_CHARACTERS:,} characters; say it in several")
            if line.startswith("/"):
                name, _, argument = line[1:].partition(" ")
                yield from self._command(name.lower(), argument.strip())
            else:
                yield from self._reply(line)
        except (MetadialogError, OSError) as error:
            yield str(error)

    def _reply(self, text: str) -> Iterator[str]:
        """Yield a reply; if it is stopped, what was said so far is the reply, so that every turn has an answer."""
        self.turns.append(Turn(USER, text))
        said, complete = "", False
        try:
            for piece in self.model.stream(self.turns, self.generation, seed=self.seed + len(self.turns)):
                said += piece
                yield piece
            complete = True
        finally:
            if complete or said.strip():
                self.turns.append(Turn(BOT, said))
            else:
                self.turns.pop()  # nothing was answered
        if not said.strip():
            yield NO_WORDS

    def _command(self, name: str, argument: str) -> Iterator[str]:
        commands: dict[str, Callable[[str], Iterator[str]]] = {
            "adapt": self._adapt,
            "reset": self._reset,
            "before": self._before,
            "why": self._why,
            "temperature": self._temperature,
            "save": self._save,
            "help": self._help,
            "quit": self._quit,
        }
        if name not in commands:
            raise ConfigError(f"/{name}: no such command; there are {', '.join(f'/{known}' for known in commands)}")
        yield from commands[name](argument)

    def _adapt(self, file: str) -> Iterator[str]:
        if not file:
            raise ConfigError("/adapt: name a file of dialogues, as in /adapt mine.jsonl")
        if file == "-":
            raise ConfigError("/adapt -: the conversation is read from the standard input already; name a file")
        division = divide(as_dialogues(file), "auto", self.seed, file)
        progress = AdaptingAside(self.base, division)
        first: CurvePoint | None = None
        for point in progress:
            first = first or point
            yield curve_line(point, first) + "\n"
        self.model = progress.adapted()
        yield (
            f"adapted to {counted(len(division.support), 'dialogue')}, {len(division.held_out)} held out, "
            f"in {counted(self.model.step, 'step')}"
        )
        if (better := advice(self.model)) is not None:
            yield f"\n{better} (metadialog adapt takes a rate)"

    def _reset(self, _: str) -> Iterator[str]:
        self.turns = []
        self.model = self.base
        yield "the conversation starts again, without adaptation"

    def _before(self, _: str) -> Iterator[str]:
        said = ""
        for piece in self.base.stream(self._asked(), self.generation, seed=self.seed + len(self._asked())):
            said += piece
            yield piece
        if not said.strip():
            yield NO_WORDS

    def _why(self, _: str) -> Iterator[str]:
        near = self.model.nearest(self._asked())
        if not near:
            raise DataError("/why: the model was not adapted in this conversation; /adapt FILE adapts it")
        for index, one in enumerate(near):
            context = one.context.replace("\n", " / ")
            yield f"{chr(10) if index else ''}{one.similarity:.2f}  {context}  ->  {one.response}"

    def _asked(self) -> list[Turn]:
        """Return the turns up to the last one of the user."""
        turns = list(self.turns)
        while turns and turns[-1].speaker != USER:
            turns.pop()
        if not turns:
            raise DataError("nothing has been said yet")
        return turns

    def _temperature(self, argument: str) -> Iterator[str]:
        if not argument:
            raise ConfigError("/temperature: name one, as in /temperature 0.7; 0 is greedy")
        try:
            temperature = float(argument)
        except ValueError:
            temperature = math.nan
        if not 0 <= temperature < math.inf:
            raise ConfigError(f"/temperature {argument}: should be a number, 0 or more, such as 0.7; 0 is greedy")
        options = {"name": "greedy"} if temperature == 0 else {"name": "sampling", "temperature": temperature}
        as_generation(options, self.model.equipment.generation)  # refuses what is out of range
        self.generation = options
        yield "greedy" if temperature == 0 else f"sampling with temperature {temperature:g}"

    def _save(self, file: str) -> Iterator[str]:
        if not file:
            raise ConfigError("/save: name a file, as in /save talk.jsonl")
        if not self.turns:
            raise DataError("nothing has been said yet")
        if "\0" in file:
            raise ConfigError(f"/save {file!r}: is no path; name a file, as in /save talk.jsonl")
        path = expand(file, "/save")
        refuse_special(path, "/save")
        if path.is_dir():
            raise ConfigError(f"/save {file}: is a folder; name a file, as in /save talk.jsonl")
        if path.exists() and path.absolute() not in self.saved:
            raise ConfigError(f"/save {file}: is there already; name a file that is not")
        write_atomically(path, to_jsonl([Dialogue("chat", tuple(self.turns), path.stem)]))
        self.saved.add(path.absolute())
        yield f"saved {counted(len(self.turns), 'turn')} to {path}"

    def _help(self, _: str) -> Iterator[str]:
        yield HELP

    def _quit(self, _: str) -> Iterator[str]:
        self.ended = True
        yield from ()
