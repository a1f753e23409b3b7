"""Draw the differences from the longest joint training, from `results/differences.csv`.

    python experiments/algorithm_comparison/figures.py

The run directories are no longer available. By word perplexity `finetune_long` is the best row at every number of shots
and inner steps, so the differences from the best row, which the file holds, are those from this one baseline.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pandas as pd

from metadialog.reports.comparison import Comparison
from metadialog.reports.figures import style
from metadialog.reports.forest import difference_curves_figure, forest_figure
from metadialog.statistics.comparison import CHOSEN

RESULTS = Path(__file__).parent / "results"
BASELINE = "finetune_long"


def recorded() -> Comparison:
    """Return what the figures read of a comparison."""
    differences = pd.read_csv(RESULTS / "differences.csv")
    differences = differences[differences["metric"] == "word_perplexity"]
    assert set(differences["best"]) == {BASELINE}
    chosen = differences["inner_step"] == "chosen"
    steps = differences["inner_step"].where(~chosen, str(CHOSEN)).astype(int)
    algorithms = pd.read_csv(RESULTS / "table.csv")["algorithm"].unique().tolist()
    part = SimpleNamespace(
        baseline_differences=differences.assign(inner_step=steps),
        algorithms=algorithms,
        settings=SimpleNamespace(significance=0.05, baseline=BASELINE),
        runs=[SimpleNamespace(language="en")],
    )
    return cast("Comparison", part)


def main() -> None:
    """Write both figures."""
    comparison = recorded()
    figures = {"forest": forest_figure, "difference_curves": difference_curves_figure}
    for name, draw in figures.items():
        with style():
            draw(comparison).savefig(RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
