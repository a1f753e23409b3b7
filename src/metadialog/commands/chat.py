"""`metadialog chat run=DIR`: a conversation in the terminal, or through a pipe."""

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from annotated_types import MinLen
from prompt_toolkit import PromptSession

from metadialog.config import build
from metadialog.experiment.session import Device, Seed, Threads, find_device
from metadialog.inference.conversation import Conversation
from metadialog.inference.folder import load_model

PROMPT = "you> "


def chat(
    *,
    run: Annotated[str, MinLen(1)],
    dialogues: Annotated[str, MinLen(1)] | None,
    generation: Mapping[str, Any] | None,
    seed: Seed,
    device: Device,
    threads: Threads | None,
) -> None:
    """Answer what the user types, line by line, until the input ends or `/quit`.

    Args:
        run: a run directory, or the folder of an exported or adapted model.
        dialogues: file of dialogues to adapt to at the beginning; None for none.
        generation: how replies are made; None for the model's own way.
        seed: of what sampling draws.
        device: to compute on.
        threads: CPU threads.

    Raises:
        DataError: the dialogues cannot be read.
        RunError: the model cannot be read.
    """
    model = load_model(run, device=find_device(device), threads=threads)
    way = None if generation is None else build(generation)
    talk = Conversation(model, model if dialogues is None else model.adapt(dialogues), way, seed=seed)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if interactive:
        _write(f"{model.name}; /help lists the commands, /quit ends\n")
    for line in _typed() if interactive else sys.stdin:
        ended = _say(talk, line)
        if ended:
            break


def _say(talk: Conversation, line: str) -> bool:
    """Answer a line; return whether the conversation is over."""
    said = False
    try:
        for piece in talk.answer(line):
            _write(piece)
            said = True
    except KeyboardInterrupt:
        _write(" (broken off)")
        said = True
    if said:
        _write("\n")
    return talk.ended


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _typed() -> Iterator[str]:
    """Yield what the user types, with line editing and history; the interrupt key empties the line."""
    session: PromptSession[str] = PromptSession(PROMPT)
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
