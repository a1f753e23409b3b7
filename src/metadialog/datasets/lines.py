"""Dialogues as plain text with a line for each turn, starting with the speaker and a colon."""

import re
from collections.abc import Sequence

from metadialog.datasets.dialogue import Turn

SPEAKERS = ("user", "bot")

# [10:02] Anna: ..., (10:02:11) Anna: ..., 2024-01-31 10:02 - Anna: ..., 2024-01-31T10:02:11Z INFO Anna: ...,
# [10:02, 31/01/2024] Anna: ..., #Person1#: ..., **Anna:** ..., [10:02] <Anna> ...
_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
_ZONE = r"\s?[AaPp]\.?[Mm]\.?|Z|[+-]\d{2}:?\d{2}"
_TIME = rf"(?:{_DATE},?[ T]+)?\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}}(?:[.,]\d+)?)?(?:{_ZONE})?(?:, {_DATE})?"
_LEVEL = r"(?:(?:DEBUG|INFO|WARN|WARNING|ERROR)\s+)?"
_STAMP = rf"(?:\[{_TIME}\]|\({_TIME}\)|<{_TIME}>|{_TIME})\s*(?:[-\u2013\u2014|]\s*)?{_LEVEL}"
_LINE = re.compile(rf"\s*(?:{_STAMP})?(?P<speaker>[^\s:\uff1a][^:\uff1a\t]{{0,39}}?)\s*[:\uff1a](?!//)\s*(?P<text>.*)")
_NICK = re.compile(rf"\s*(?:{_STAMP})?<(?P<speaker>[^<>\s]{{1,40}})>\s+(?P<text>.*)")
_BOLD = re.compile(r"\s*(?P<mark>\*\*|__)(?P<speaker>[^*_:\uff1a]{1,40})[:\uff1a](?P=mark)\s*(?P<text>.*)")
_MARKED = re.compile(r"[#<\[*]+(?P<name>[^#<>\[\]*]+)[#>\]*]+")
_CLOCK = re.compile(r"\W*\d")
_WORDS = 4
"""Maximum number of words of a speaker's name; longer ones are sentences with a colon."""


def parse_line(line: str) -> Turn | None:
    """Return the turn that begins at a line; None if the line continues the turn before."""
    match = _NICK.fullmatch(line) or _BOLD.fullmatch(line) or _LINE.fullmatch(line)
    if match is None:
        return None
    speaker = match["speaker"].strip()
    # A time in an unknown format, such as 10h:02.
    if _CLOCK.match(speaker) and re.match(r"[:\uff1a]\d\d", line[match.end("speaker") :]):
        return None
    marked = _MARKED.fullmatch(speaker)
    speaker = marked["name"].strip() if marked else speaker
    if len(speaker.split()) > _WORDS or not any(letter.isalnum() for letter in speaker):
        return None
    return Turn(" ".join(speaker.split()), match["text"].strip())


def parse_lines(lines: Sequence[str]) -> list[Turn]:
    """Return the turns of some lines; a line without a speaker continues the turn before.

    Raises:
        ValueError: the first line that is not blank has no speaker.
    """
    turns: list[Turn] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        turn = parse_line(line)
        if turn is not None:
            turns.append(turn)
        elif turns:
            turns[-1] = Turn(turns[-1].speaker, f"{turns[-1].text}\n{line.strip()}".strip())
        else:
            raise ValueError(
                f"line {number}, {line.strip()[:40]!r}, has no speaker; it should be such as 'Anna: Hello.'"
            )
    return turns


def parse_text(text: str) -> list[Turn]:
    """Return the turns of a dialogue in one text: by lines with speakers, by `__eou__`, or by lines.

    Raises:
        ValueError: it is none of these.
    """
    if "__eou__" in text:
        parts = [part.strip() for part in text.split("__eou__")]
        return [Turn(SPEAKERS[i % 2], part) for i, part in enumerate(part for part in parts if part)]
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and parse_line(lines[0]) is None and not any(map(parse_line, lines)):
        return [Turn(SPEAKERS[i % 2], line.strip()) for i, line in enumerate(lines)]
    return parse_lines(lines)
