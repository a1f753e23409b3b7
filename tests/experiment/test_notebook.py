"""A notebook, executed by a real kernel; a cell that is run again works."""

import json
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TRAIN = """\
import metadialog as md

experiment = md.compose("train", {options} + ["hydra.run.dir=mine"])
run = experiment.run()
print("loss", run.loss)
"""


def as_notebook(sources: list[str]) -> str:
    """Return a notebook of code cells, as it is written to a file."""
    cells: list[dict[str, object]] = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for source in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def text(cell: nbformat.NotebookNode) -> str:
    """Return all that a cell shows."""
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def test_a_notebook_trains_and_draws(folder: Path, options: list[str]) -> None:
    train = TRAIN.format(options=options)
    cells = [train, train, "run.records.head()", "run.plot_adaptation()", "print(md.load('mine').model.reply(['hi']))"]
    notebook = nbformat.reads(as_notebook(cells), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    first, again, records, plot, _ = notebook.cells
    [loss] = [line for line in text(first).splitlines() if line.startswith("loss")]
    assert loss in text(again)
    assert "training 2/2" in text(first)
    assert text(first).count("training ") == 1, "progress is one line that changes"
    assert "inner_step" in text(records)
    assert any("image/png" in output.get("data", {}) for output in plot.outputs)
