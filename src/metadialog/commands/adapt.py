"""`metadialog adapt run=DIR dialogues=FILE output=DIR`: adapt a trained model to dialogues and save it."""

import shutil
import tempfile
from pathlib import Path

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.local import expand
from metadialog.errors import RunError
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import AdaptConfig
from metadialog.inference.adapting import advice, compare, curve_line, divide, report
from metadialog.inference.dialogues import STANDARD_INPUT, as_dialogues
from metadialog.inference.folder import load_model
from metadialog.inference.results import CurvePoint
from metadialog.runs.atomic import write_atomically
from metadialog.text import counted

REPORT = "report.md"


def main(job: Job) -> float:
    """Adapt a model to dialogues, score it on held-out ones, and write it with a report.

    Returns:
        The loss after adaptation, nats per token, on the held-out dialogues if there are any.

    Raises:
        DataError: the dialogues cannot be read.
        RunError: the model cannot be read, or the output exists already.
    """
    config: AdaptConfig = build(job.config)
    console = job.console
    target = _new_folder(config.output)
    model = load_model(config.run, device=find_device(config.device), threads=config.threads)
    name = STANDARD_INPUT if config.dialogues == "-" else Path(config.dialogues).name
    division = divide(as_dialogues(config.dialogues), config.held_out, config.seed, name)
    _check_writable(target)
    console.print(
        f"adapting to {counted(len(division.support), 'dialogue')}; {len(division.held_out)} held out"
        + (f", {division.passed_over} without an answer passed over" if division.passed_over else ""),
        highlight=False,
    )
    points: list[CurvePoint] = []

    def draw(point: CurvePoint) -> None:
        points.append(point)
        console.print(curve_line(point, points[0]), highlight=False, markup=False, soft_wrap=True)

    held_out = division.held_out or None
    adapted = model.adapt(
        division.support,
        config.steps,
        held_out=held_out,
        rate=config.rate,
        language=config.language,
        on_step=draw,
    )
    scored = "held-out dialogues" if division.held_out else "dialogues adapted to"
    about = adapted.equipment.about.adapted_to
    if about is None:
        raise RuntimeError("an adapted model does not say what it was adapted to")
    console.print(
        f"{counted(adapted.step, 'step')}: loss on the {scored} {about.loss_before:.3f} before, "
        f"{about.loss_after:.3f} after",
        highlight=False,
    )
    if (better := advice(adapted)) is not None:
        console.print(better, highlight=False)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        adapted.save(partial, name=target.name)
        replies = compare(adapted, division.held_out or division.support)
        write_atomically(partial / REPORT, report(adapted, division, name, replies, config.steps))
        if target.exists():
            target.rmdir()  # an empty folder
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    console.print(f"adapted model: {target}", soft_wrap=True, highlight=False, markup=False)
    return about.loss_after


def _check_writable(folder: Path) -> None:
    """Create a folder's parents and a temporary folder with its name, to check early that results can be written.

    Raises:
        RunError: nothing can be written there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            pass
    except OSError as error:
        raise RunError(f"output={folder}: nothing can be written there: {error.strerror}; choose another") from error


def _new_folder(output: str) -> Path:
    folder = expand(output, "output")
    if folder.is_symlink() and not folder.exists():
        raise RunError(
            f"output={output}: is a link to something that is not there; choose a folder that is new, or empty"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"output={output}: is there already; choose a folder that is not, or is empty")
    return folder
