"""`metadialog chat run=DIR`: a conversation in the terminal, or through a pipe."""

import sys
from collections.abc import Iterator
from contextlib import closing

from prompt_toolkit import PromptSession

from metadialog import interrupts
from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.errors import DataError
from metadialog.escapes import escaped
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import ChatConfig
from metadialog.inference.adapting import curve_line
from metadialog.inference.conversation import MOST_CHARACTERS, Conversation
from metadialog.inference.folder import load_model
from metadialog.inference.results import CurvePoint

PROMPT = "you> "


def main(job: Job) -> None:
    """Reply to the user's input line by line, until it ends or `/quit`.

    Raises:
        DataError: the dialogues cannot be read.
        RunError: the model cannot be read.
    """
    config: ChatConfig = build(job.config)
    if config.dialogues == "-":
        raise DataError("dialogues=-: the conversation is read from the standard input already; name a file")
    model = load_model(config.run, device=find_device(config.device), threads=config.threads)
    way = None if config.generation is None else build(config.generation)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    adapted = model
    if config.dialogues is not None:
        points: list[CurvePoint] = []
        adapted = model.adapt(config.dialogues, on_step=lambda point: _draw(point, points) if interactive else None)
    talk = Conversation(model, adapted, way, seed=config.seed)
    if interactive:
        _write(f"{model.name}; /help lists the commands, /quit ends\n")
    for line in _typed() if interactive else _piped():
        ended = _say(talk, line)
        if ended:
            break


def _say(talk: Conversation, line: str) -> bool:
    """Answer a line; return whether the conversation is over."""
    said = False
    try:
        with closing(talk.answer(line)) as pieces:
            for piece in pieces:
                _write(piece)
                said = True
    except KeyboardInterrupt:
        interrupts.resume()
        _write(" (stopped)")
        said = True
    if said:
        _write("\n")
    return talk.ended


def _draw(point: CurvePoint, points: list[CurvePoint]) -> None:
    points.append(point)
    _write(f"{curve_line(point, points[0])}\n")


def _write(text: str) -> None:
    """Write a text, in which a model or a file could have put codes that control the terminal."""
    sys.stdout.write(escaped(text))
    sys.stdout.flush()


def _piped() -> Iterator[str]:
    """Yield the lines of a pipe, of any length; of one that is too long only the beginning, which is refused."""
    while line := sys.stdin.readline(MOST_CHARACTERS + 1):
        yield line
        while len(line) > MOST_CHARACTERS and not line.endswith("\n"):
            line = sys.stdin.readline(MOST_CHARACTERS + 1)


def _typed() -> Iterator[str]:
    """Yield the user's input, with line editing and history; Ctrl-C clears the line."""
    session: PromptSession[str] = PromptSession(PROMPT)
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            interrupts.resume()
            continue
        except EOFError:
            return
