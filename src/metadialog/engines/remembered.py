"""Which engine was fastest on this machine, kept in the cache folder between runs."""

import json
import logging
import platform
import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from metadialog.cache.entries import cache_directory, entry
from metadialog.cache.keys import key
from metadialog.engines.base import InnerLoop, support_of
from metadialog.engines.measuring import Measured
from metadialog.episodes import Batch, Episode
from metadialog.randomness import drops

FOLDER = "engines"
_CHOICE = "choice.json"

_log = logging.getLogger(__name__)


def remembered(
    folder: Path | None, name: str, make: Callable[[], Measured], names: Sequence[str], *, anew: bool
) -> tuple[Measured, bool]:
    """Return the stored result of an earlier measurement, or measure and store the result.

    If two processes measure at the same time, both use the result that is written first. An entry that is damaged, or
    names an engine that is not a candidate, is replaced.

    Args:
        folder: cache folder; None for the user's.
        name: name of the entry, a digest of everything that the result depends on.
        make: takes the measurement.
        names: names of the candidate engines.
        anew: whether to discard an earlier result.

    Returns:
        The result, and whether it was measured now.
    """
    made: list[Measured] = []

    def build(at: Path) -> None:
        made.append(make())
        content = {"engine": made[-1].fastest, "milliseconds": made[-1].milliseconds}
        (at / _CHOICE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    where = (cache_directory() if folder is None else folder) / FOLDER / name
    if anew:
        shutil.rmtree(where, ignore_errors=True)
    result = _read(entry(where, build) / _CHOICE, names)
    if result is None:
        _log.warning("%s names no engine that can be taken, and is written again", where)
        shutil.rmtree(where, ignore_errors=True)
        result = _read(entry(where, build) / _CHOICE, names) or made[-1]
    return result, bool(made)


def _read(path: Path, names: Sequence[str]) -> Measured | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        engine, milliseconds = content["engine"], content["milliseconds"]
        if engine in names and engine in milliseconds:
            return Measured(engine, {str(name): float(value) for name, value in milliseconds.items()})
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        pass
    return None


def key_of(
    model: nn.Module, objectives: Sequence[str], episodes: Sequence[Episode], inner: InnerLoop, memory: float
) -> str:
    """Return a digest of what decides which engine is fastest: model, shapes, inner loop, machine and versions."""
    device = next(model.parameters()).device
    return key(
        model=f"{type(model).__module__}.{type(model).__qualname__}",
        parameters=[[name, list(p.shape), p.requires_grad, inner.adapts(name)] for name, p in model.named_parameters()],
        dtype=str(next(model.parameters()).dtype),
        drops=drops(model),
        objectives=list(objectives),
        inner=[
            inner.steps,
            inner.first_order,
            inner.rates is not None,
            inner.query_weights is not None,
            type(inner.rule).__qualname__,
            inner.rule.chunk,
        ],
        tasks=len(episodes),
        sets=[_size([support_of(one) for one in episodes]), _size([one.query for one in episodes])],
        memory=memory,
        machine=_machine(device),
        versions=[version("metadialog"), torch.__version__],
    )


def _size(batches: Sequence[Batch]) -> list[int]:
    """Return rows, tokens of a row and counted tokens of the largest of some sets, each up to the next power of two."""
    shapes: list[tuple[int, int, Tensor]] = [(*batch.inputs.shape, batch.mask.sum()) for batch in batches]
    return [1 << (max(int(size[at]) for size in shapes) - 1).bit_length() for at in range(3)]


def _machine(device: torch.device) -> list[object]:
    if device.type == "cuda":
        return [torch.cuda.get_device_name(device)]
    return [device.type, platform.machine(), platform.processor(), platform.node(), torch.get_num_threads()]
