"""Replies of the algorithms to the same contexts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metadialog.reports.runs import Run
from metadialog.runs import layout
from metadialog.runs.schemas import SampleLine, read_samples

MOST = 8
"""Maximum number of contexts in a report."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Replies to one context.

    Attributes:
        topic: topic of the dialogue.
        context: context.
        reference: reference response.
        replies: algorithm -> its reply after adaptation.
    """

    topic: str
    context: str
    reference: str
    replies: Mapping[str, str]


def samples_of(runs: Sequence[Run]) -> list[Sample]:
    """Return replies to the first context of each topic, with the most shots; from the first run of each algorithm.

    Only contexts with replies of every algorithm with samples are included.

    Raises:
        RunError: a file of samples is damaged.
    """
    results: dict[str, dict[tuple[str, str, str], SampleLine]] = {}
    for run in runs:
        path = run.path / layout.SAMPLES
        if run.algorithm not in results and path.exists():
            lines = read_samples(path)
            shots = max((line.shots for line in lines), default=0)
            results[run.algorithm] = {
                (line.topic, line.context, line.reference): line for line in reversed(lines) if line.shots == shots
            }
    if not results:
        return []
    common = [key for key in reversed(next(iter(results.values()))) if all(key in lines for lines in results.values())]
    first = {topic: (topic, context, reference) for topic, context, reference in reversed(common)}
    chosen = [key for key in common if first[key[0]] == key][:MOST]
    return [Sample(*key, {name: lines[key].after for name, lines in results.items()}) for key in chosen]
