"""The example notebook, executed by a real kernel with a short run; cells can be run again."""

import copy
import json
from pathlib import Path

import nbformat
from nbclient import NotebookClient

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
PARAMETERS = """\
import metadialog as md

shared = {options}
maml, finetune = ["algorithm=maml", *shared], ["algorithm=finetune", *shared]
"""


def read() -> nbformat.NotebookNode:
    node: nbformat.NotebookNode = nbformat.read(QUICKSTART, as_version=4)  # type: ignore[no-untyped-call]
    return node


def text(cell: nbformat.NotebookNode) -> str:
    """Return the output of a cell."""
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def test_the_quickstart_runs(folder: Path, options: list[str]) -> None:
    notebook = read()
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = PARAMETERS.format(options=options)
    [training] = [cell for cell in notebook.cells if "experiment.run(" in cell.source]
    again = copy.deepcopy(training)
    again.id = "again"
    notebook.cells.insert(notebook.cells.index(training) + 1, again)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()

    def shown(source: str) -> nbformat.NotebookNode:
        cells: list[nbformat.NotebookNode] = [cell for cell in notebook.cells if cell.cell_type == "code"]
        return next(cell for cell in cells if source in cell.source)

    assert "<Experiment train algorithm=maml" in text(shown('compose("train", maml)'))
    assert "runs/maml: finished, algorithm=maml, seed=0>" in text(training)
    assert "training 2/2" in text(training)
    assert text(training).count("training ") == 1, "progress is one line that changes"
    assert "training " not in text(again), "the finished run is returned"
    assert "runs/maml: finished" in text(again)
    assert "inner_step" in text(shown("run.records.head()"))
    assert any("image/png" in output.get("data", {}) for output in shown("plot_adaptation").outputs)
    assert "finetune" in text(shown("md.compare"))
    assert "30 steps on 3 dialogues>" in text(shown("model.adapt"))
    assert text(shown("model.score")).count("DialogueScore(loss=") == 2
    assert (folder / "bicycle_hire" / "model.safetensors").exists()


def test_it_is_kept_without_outputs() -> None:
    """The committed notebook has no output, which would depend on the machine."""
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in read().cells)
    assert json.loads(QUICKSTART.read_text(encoding="utf-8"))["nbformat"] == 4
