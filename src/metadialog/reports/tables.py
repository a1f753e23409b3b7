"""The tables of a report, whatever they are written in."""

from collections.abc import Sequence
from dataclasses import dataclass

from metadialog.reports.grid import Grid
from metadialog.reports.samples import Sample

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Tables:
    """What a report shows.

    Attributes:
        title: of the report.
        scores: the tables of scores.
        topics: those of topics, and of the inner steps to the baseline's best.
        differences: the rows of the table of differences from the best.
        baseline: those from the baseline; none without one.
        samples: replies of all algorithms to the same contexts.
        notes: what else the reader should know, a sentence each.
    """

    title: str
    scores: Sequence[Grid]
    topics: Sequence[Grid]
    differences: Rows
    baseline: Rows
    samples: Sequence[Sample]
    notes: Sequence[str]
