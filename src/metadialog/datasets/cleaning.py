"""Cleaning of a single dialogue: blank turns, consecutive turns, one-sided dialogues, and the choice of replies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypedDict

from annotated_types import Gt, Le, MinLen

from metadialog.datasets.anonymise import anonymise_dialogue
from metadialog.datasets.dialogue import MIN_TURNS, Dialogue, Turn

ALL = "all"
SECOND = "second"

Responses = Annotated[str, MinLen(1)]
OneSpeaker = Literal["drop", "keep"]
Similarity = Annotated[float, Gt(0), Le(1)]


class CleaningOptions(TypedDict, total=False):
    """The options of `Cleaning`, common to all data sets of this package."""

    responses: Responses
    merge_turns: bool
    one_speaker: OneSpeaker
    anonymise: bool
    near_duplicates: Similarity | None


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The cleaning of single dialogues.

    Attributes:
        responses: whose turns are replies: `all`, `second` (the second speaker), or the name of a speaker. The first
            turn of a dialogue is never a reply.
        merge_turns: merge consecutive turns of a speaker, with a line break between them.
        one_speaker: whether to drop or keep dialogues with only one speaker.
        anonymise: replace names of speakers, mail addresses and phone numbers.
        near_duplicates: Jaccard similarity of word pairs from which dialogues are kept in one part of the split; None
            for no limit.
    """

    responses: str = ALL
    merge_turns: bool = False
    one_speaker: OneSpeaker = "drop"
    anonymise: bool = False
    near_duplicates: float | None = None

    def clean(self, dialogue: Dialogue, counts: Counter[str]) -> Dialogue | None:
        """Return the cleaned dialogue; None if it is dropped. Removals are counted by reason."""
        turns = [turn for turn in dialogue.turns if turn.text.strip()]
        counts["blank_turns"] += len(dialogue.turns) - len(turns)
        # Before turns are merged, as many turns of one speaker are a one-sided dialogue, not a short one.
        if len(turns) < MIN_TURNS:
            counts["short"] += 1
            return None
        if self.one_speaker == "drop" and len({turn.speaker for turn in turns}) == 1:
            counts["one_speaker"] += 1
            return None
        if self.merge_turns:
            turns = merged(turns)
            if len(turns) < MIN_TURNS:
                counts["short"] += 1
                return None
        if not any(self.replies([turn.speaker for turn in turns])[1:]):
            counts["no_reply"] += 1
            return None
        marked = self.mark(dialogue if tuple(turns) == dialogue.turns else replace(dialogue, turns=tuple(turns)))
        return anonymise_dialogue(marked) if self.anonymise else marked

    def mark(self, dialogue: Dialogue) -> Dialogue:
        """Return a dialogue whose turns are marked as replies or not."""
        if self.responses == ALL:
            return dialogue
        replies = self.replies([turn.speaker for turn in dialogue.turns])
        turns = (replace(turn, reply=turn.reply and may) for turn, may in zip(dialogue.turns, replies, strict=True))
        return replace(dialogue, turns=tuple(turns))

    def replies(self, speakers: Sequence[str]) -> list[bool]:
        """Return for each turn whether it may be a reply, given its speaker."""
        if self.responses == ALL:
            return [True] * len(speakers)
        wanted: str | None = self.responses
        if self.responses == SECOND:
            wanted = next((speaker for speaker in speakers if speaker != speakers[0]), None)
        return [speaker == wanted for speaker in speakers]


def merged(turns: Sequence[Turn]) -> list[Turn]:
    """Merge consecutive turns of one speaker."""
    result: list[Turn] = []
    for turn in turns:
        if result and result[-1].speaker == turn.speaker:
            result[-1] = replace(turn, text=f"{result[-1].text}\n{turn.text}")
        else:
            result.append(turn)
    return result
