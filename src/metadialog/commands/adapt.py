"""`metadialog adapt run=DIR dialogues=FILE output=DIR`: adapt a trained model to dialogues, and keep it."""

import shutil
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from metadialog.console import make_console
from metadialog.datasets.local import expand
from metadialog.errors import RunError
from metadialog.experiment.session import Device, Seed, Threads, find_device
from metadialog.inference.adapting import compare, curve_line, divide, report
from metadialog.inference.dialogues import as_dialogues
from metadialog.inference.folder import load_model
from metadialog.inference.results import CurvePoint
from metadialog.runs.atomic import write_atomically

REPORT = "report.md"


def adapt(
    *,
    run: Annotated[str, MinLen(1)],
    dialogues: Annotated[str, MinLen(1)],
    output: Annotated[str, MinLen(1)],
    held_out: Literal["auto"] | Annotated[int, Ge(0)],
    steps: Annotated[int, Ge(0)] | None,
    rate: Annotated[float, Gt(0)] | None,
    seed: Seed,
    device: Device,
    threads: Threads | None,
) -> float:
    """Adapt a model to dialogues and score it on those that are held out; write it with a report.

    Args:
        run: a run directory, or the folder of an exported or adapted model.
        dialogues: file of dialogues; `-` for the standard input.
        output: folder to write to.
        held_out: dialogues that are scored and not adapted to.
        steps: inner steps; None to choose them.
        rate: what the inner rates are multiplied by; None to choose it.
        seed: of the draw of the held-out dialogues.
        device: to compute on.
        threads: CPU threads.

    Returns:
        The loss after adaptation, nats a token: of the held-out dialogues, if there are any.

    Raises:
        DataError: the dialogues cannot be read.
        RunError: the model cannot be read, or the output is there already.
    """
    console = make_console()
    target = _new_folder(output)
    model = load_model(run, device=find_device(device), threads=threads)
    division = divide(as_dialogues(dialogues, "dialogues"), held_out, seed)
    console.print(
        f"adapting to {len(division.support)} dialogues; {len(division.held_out)} held out"
        + (f", {division.passed_over} without an answer passed over" if division.passed_over else ""),
        highlight=False,
    )
    points: list[CurvePoint] = []

    def draw(point: CurvePoint) -> None:
        points.append(point)
        console.print(curve_line(point, points[0]), highlight=False, markup=False, soft_wrap=True)

    adapted = model.adapt(division.support, steps, held_out=division.held_out or None, rate=rate, on_step=draw)
    scored = "held-out dialogues" if division.held_out else "dialogues adapted to"
    about = adapted.equipment.about.adapted_to
    if about is None:
        raise RuntimeError("an adapted model does not say what it was adapted to")
    console.print(
        f"{adapted.step} steps: loss on the {scored} {about.loss_before:.3f} before, {about.loss_after:.3f} after",
        highlight=False,
    )
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        adapted.save(partial, name=target.name)
        replies = compare(adapted, division.held_out or division.support)
        name = "the standard input" if dialogues == "-" else Path(dialogues).name
        write_atomically(partial / REPORT, report(adapted, division, name, replies))
        if target.exists():
            target.rmdir()  # it is empty
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    console.print(f"adapted model: {target}", soft_wrap=True, highlight=False, markup=False)
    return about.loss_after


def _new_folder(output: str) -> Path:
    folder = expand(output, "output")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"output={output}: is there already; choose a folder that is not, or is empty")
    return folder
