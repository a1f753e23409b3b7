"""`metadialog adapt run=DIR dialogues=FILE output=DIR`: adapt a trained model to dialogues and save it."""

from pathlib import Path

from rich.console import Console

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.local import expand
from metadialog.errors import RunError
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import AdaptConfig
from metadialog.inference.adapting import Division, advice, curve_line, divide, save_with_report
from metadialog.inference.dialogues import STANDARD_INPUT, as_dialogues
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import CurvePoint
from metadialog.runs.atomic import check_can_create
from metadialog.text import counted


def main(job: Job) -> float:
    """Adapt a model to dialogues, score it on held-out ones, and write it with a report.

    Returns:
        The loss after adaptation, nats per token, on the held-out dialogues if there are any.

    Raises:
        DataError: the dialogues cannot be read.
        RunError: the model cannot be read, or the output exists already.
    """
    config: AdaptConfig = build(job.config)
    target = _new_folder(config.output)
    model = load_model(config.run, device=find_device(config.device), threads=config.threads)
    name = STANDARD_INPUT if config.dialogues == "-" else Path(config.dialogues).name
    division = divide(as_dialogues(config.dialogues), config.held_out, config.seed, name)
    try:
        check_can_create(target)
    except OSError as error:
        raise RunError(f"output={target}: nothing can be written there: {error.strerror}; choose another") from error
    adapted = _adapt(model, division, config, job.console)
    save_with_report(adapted, target, division, name, config.steps)
    job.console.print(f"adapted model: {target}", soft_wrap=True, highlight=False, markup=False)
    return adapted.curve[adapted.step].loss


def _adapt(model: AdaptableModel, division: Division, config: AdaptConfig, console: Console) -> AdaptableModel:
    """Adapt a model, and print each point of the curve as soon as it is known."""
    passed_over = f", {division.passed_over} without an answer passed over" if division.passed_over else ""
    console.print(
        f"adapting to {counted(len(division.support), 'dialogue')}; {len(division.held_out)} held out{passed_over}",
        highlight=False,
    )
    points: list[CurvePoint] = []

    def draw(point: CurvePoint) -> None:
        points.append(point)
        console.print(curve_line(point, points[0]), highlight=False, markup=False, soft_wrap=True)

    adapted = model.adapt(
        division.support,
        config.steps,
        held_out=division.held_out or None,
        rate=config.rate,
        language=config.language,
        on_step=draw,
    )
    scored = "held-out dialogues" if division.held_out else "dialogues adapted to"
    before, after = points[0].loss, points[adapted.step].loss
    console.print(
        f"{counted(adapted.step, 'step')}: loss on the {scored} {before:.3f} before, {after:.3f} after", highlight=False
    )
    if (better := advice(adapted)) is not None:
        console.print(better, highlight=False)
    return adapted


def _new_folder(output: str) -> Path:
    folder = expand(output, "output")
    if folder.is_symlink() and not folder.exists():
        raise RunError(
            f"output={output}: is a link to something that is not there; choose a folder that is new, or empty"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"output={output}: is there already; choose a folder that is not, or is empty")
    return folder
