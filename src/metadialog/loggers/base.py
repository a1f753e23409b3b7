"""What a logger is: where a run tells of itself beyond the files in its directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from metadialog.runs.metrics_file import Split

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


class Logger(Protocol):
    """What `conf/logger/*.yaml` names: a view of the files in the run directory, which are the truth.

    No method raises because a service is out of reach: training is worth more than its log.
    """

    @property
    def run_id(self) -> str | None:
        """What a resumed run continues the same log by; None if there is nothing to continue."""
        ...

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars of one outer step; the step goes back where a run resumes from a checkpoint.

        Args:
            step: number of the outer step.
            split: which topics the values are of.
            values: the scalars by name, such as `query_loss`.
        """
        ...

    def log_adaptation(self, records: pd.DataFrame) -> None:
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
        """Log the exported model, a directory of files that must stay where it is."""
        ...

    def log_report(self, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path], page: Path) -> None:
        """Log a comparison of runs.

        Args:
            tables: by name.
            figures: image files, by name.
            page: the whole report as one HTML file.
        """
        ...

    def finish(self, status: Status) -> None:
        """End the log of this run and let go of everything that it holds. A second call does nothing.

        An interrupted run has a few seconds to end.
        """
        ...
