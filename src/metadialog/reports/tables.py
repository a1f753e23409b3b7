"""The tables of a report, independent of the output format."""

from collections.abc import Sequence
from dataclasses import dataclass

from metadialog.reports.grid import Grid
from metadialog.reports.samples import Sample

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Tables:
    """The content of a report.

    Attributes:
        title: title of the report.
        scores: tables of scores.
        topics: tables of topics, and of the inner steps to the baseline's best.
        differences: rows of the table of differences from the best.
        baseline: rows of the differences from the baseline; empty without one.
        samples: replies of all algorithms to the same contexts.
        notes: additional notes, one sentence each.
    """

    title: str
    scores: Sequence[Grid]
    topics: Sequence[Grid]
    differences: Rows
    baseline: Rows
    samples: Sequence[Sample]
    notes: Sequence[str]
