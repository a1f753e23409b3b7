"""The interface of loggers, which show a run outside of its directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from metadialog.runs.scalars_file import Split

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["finished", "failed", "interrupted"]

RECORD_COLUMNS = (
    "algorithm",
    "engine",
    "dataset",
    "seed",
    "split",
    "topic",
    "episode",
    "shots",
    "inner_step",
    "loss",
    "tokens",
    "words",
    "word_perplexity",
    "token_accuracy",
    "rate",
    "selected",
    "bleu",
    "rouge_l",
    "chrf",
    "distinct_1",
    "distinct_2",
    "entropy",
    "length_ratio",
    "repetition",
    "characters",
)
SAMPLE_KEYS = ("topic", "inner_step", "context", "reference", "before", "after")


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run that is to be logged.

    Attributes:
        directory: directory of the run.
        config: the resolved config, as plain values.
        name: default name of the run.
        id: identifier by which a resumed run continues its log, as `Logger.run_id` gave it; None for a new run.
    """

    directory: Path
    config: Mapping[str, object]
    name: str
    id: str | None = None


class Logger(Protocol):
    """Interface of the classes that `conf/logger/*.yaml` names; the files in the run directory are authoritative.

    The constructor takes a `LoggedRun`, and the options in the yaml by keyword.

    No method raises an exception if a service cannot be reached, so that training continues.
    """

    @property
    def run_id(self) -> str | None:
        """The identifier by which a resumed run continues its log; None if there is none."""
        ...

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars of one outer step; the step may decrease when a run is resumed from a checkpoint.

        Args:
            step: number of the outer step.
            split: part of the topics that the values belong to.
            values: the scalars by name, such as `query_loss`.
        """
        ...

    def log_adaptation(self, records: "pd.DataFrame") -> None:
        """Log the final adaptation records.

        Args:
            records: one row per episode, shots and inner step, with the columns `RECORD_COLUMNS`; the text
                metrics are NaN at steps where no replies were generated.
        """
        ...

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log sample replies before and after adaptation, each a mapping with the keys `SAMPLE_KEYS`."""
        ...

    def log_model(self, directory: Path) -> None:
        """Log the exported model, a directory of files that must not be moved."""
        ...

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path) -> None:
        """Log a comparison of runs.

        Args:
            tables: tables by name.
            figures: image files by name.
            page: the complete report as an HTML file.
        """
        ...

    def finish(self, status: Status) -> None:
        """Close the log and release all resources; further calls do nothing.

        An interrupted run has a few seconds to finish.
        """
        ...
