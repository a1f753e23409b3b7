"""metadialog: few-shot dialogue by meta-learning.

Public names are imported on first use, so that `import metadialog` and `metadialog --help` are fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metadialog.algorithms.maml import MAML
    from metadialog.experiment.compare import compare
    from metadialog.experiment.compose import compose
    from metadialog.experiment.experiment import Experiment
    from metadialog.experiment.run import Run, load
    from metadialog.inference.folder import load_model
    from metadialog.inference.model import AdaptableModel
    from metadialog.models.rnn import DialogModel
    from metadialog.trust import trusting

    __version__: str

__all__ = [
    "MAML",
    "AdaptableModel",
    "DialogModel",
    "Experiment",
    "Run",
    "compare",
    "compose",
    "load",
    "load_model",
    "trusting",
]

_PLACES = {
    "AdaptableModel": "metadialog.inference.model",
    "DialogModel": "metadialog.models.rnn",
    "Experiment": "metadialog.experiment.experiment",
    "Run": "metadialog.experiment.run",
    "MAML": "metadialog.algorithms.maml",
    "compare": "metadialog.experiment.compare",
    "compose": "metadialog.experiment.compose",
    "load": "metadialog.experiment.run",
    "load_model": "metadialog.inference.folder",
    "trusting": "metadialog.trust",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    """Import a public name."""
    if name == "__version__":
        from importlib.metadata import version

        return version("metadialog")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return all names, including the public ones."""
    return sorted({*globals(), *__all__})
