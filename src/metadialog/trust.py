"""The classes and functions that a config may name in `_target_`, checked before they are imported.

Configs of the user, typed or in a config folder, may name any class of the right kind outside Python's own library.
Configs in a run directory, an exported model or a study may come from somebody else: they may only name classes of this
package that fit their place, and classes of packages that the user trusts by name, with
`trust=[my_pkg]` on the command line or `trusting("my_pkg")` in Python.
"""

import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_type_hints

from metadialog.errors import ConfigError, RunError
from metadialog.escapes import escaped, shortened
from metadialog.moved_names import current_name

OURS = "metadialog"
TRUST = "METADIALOG_TRUST"
"""Environment variable with the trusted packages, separated by commas; inherited by child processes."""

# option -> package of its classes, and their type: a base class, a protocol, or the return type of a function
GROUPS: Mapping[str, tuple[str, str | None]] = {
    "algorithm": ("algorithms", "metadialog.algorithms.base:Algorithm"),
    "bench": ("benchmark", None),
    "dataset": ("datasets", "metadialog.datasets.dialogue:Dataset"),
    "embedding": ("embeddings", None),
    "engine": ("engines", None),
    "evaluation": ("evaluation", None),
    "generation": ("generation", "metadialog.generation.base:Generation"),
    "inner": ("inner", "metadialog.inner.base:InnerRule"),
    "logger": ("loggers", "metadialog.loggers.base:Logger"),
    "model": ("models", "torch.nn:Module"),
    "objective": ("objectives", "metadialog.objectives.base:Objectives"),
    "optimizer": ("optimizers", "torch.optim:Optimizer"),
    "sampler": ("samplers", "metadialog.samplers.base:Sampler"),
    "schedule": ("schedules", "torch.optim.lr_scheduler:LRScheduler"),
    "split": ("splits", "metadialog.splits.split:Split"),
    "start": ("starts", "metadialog.starts.start:Start"),
    "sweep": ("sweeps", None),
    "tokenizer": ("tokenizers", "metadialog.tokenizers.tokenizer:TokenizerTrainer"),
    "training": ("training", "metadialog.training.options:TrainingOptions"),
}

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_trusted: ContextVar[frozenset[str] | None] = ContextVar("trusted", default=None)


def trusted() -> frozenset[str]:
    """Return the packages that the user trusts in addition to this one."""
    here = _trusted.get()
    if here is not None:
        return here
    return frozenset(filter(None, os.environ.get(TRUST, "").split(",")))


@contextmanager
def trusting(*packages: str) -> Iterator[None]:
    """Trust packages within a context, in addition to those that are already trusted.

    Raises:
        ConfigError: a name is not a package name.
    """
    token = _trusted.set(trusted() | _checked(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def take_trust(arguments: list[str]) -> list[str]:
    """Remove `trust=[...]` from the arguments of a command, and trust these packages in it and its child processes.

    Raises:
        ConfigError: a name is not a package name.
    """
    named = [argument for argument in arguments if argument.startswith("trust=")]
    packages = _checked(
        name.strip() for argument in named for name in argument.removeprefix("trust=").strip("[]").split(",") if name
    )
    if packages:
        os.environ[TRUST] = ",".join(sorted(packages | trusted()))
    return [argument for argument in arguments if argument not in named]


def check_strangers(config: Mapping[str, Any], where: object) -> None:
    """Check that a config of unknown origin names only trusted classes.

    Args:
        config: the config, or a part of it with the options of the top level as its keys.
        where: the file that contains it, for the message.

    Raises:
        RunError: it names another class; nothing is imported.
    """
    for path, named in _targets(config):
        package, name = _package(path), current_name(named)
        own = name.partition(".")[0]
        if own in trusted() and _NAME.fullmatch(name):
            continue
        allowed = (f"{OURS}.{package}.",) if package else (f"{OURS}.commands.", f"{OURS}.experiment.")
        if not name.startswith(allowed) or not _NAME.fullmatch(name):
            shown = escaped(shortened(name, 80))
            words = f"trust=[{own}] allows the classes of that package" if own.isidentifier() and own != OURS else ""
            kind = f"a class of {OURS}.{package}" if package else "a command"
            raise RunError(
                f"{where}: {path}._target_ names {shown!r}, not {kind}; nothing of it has been imported"
                f"{'; ' if words else ''}{words}"
            )


def resolve(name: str, path: str = "") -> Callable[..., Any]:
    """Import the class or function in a `_target_`, and check that it fits its place.

    Args:
        name: dotted name of a class or function.
        path: path of the node that names it, such as `algorithm`; empty if unknown.

    Raises:
        ConfigError: it does not fit, or cannot be imported.
    """
    where = f"{path or 'the config'}._target_: {escaped(shortened(name, 80))!r}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where} cannot be imported: it should be a module and a name, such as my_pkg.models.Model")
    if name.partition(".")[0] in {*sys.stdlib_module_names, "builtins"}:
        raise ConfigError(f"{where} cannot be imported: it is Python's own, and no {_kind_words(path)}")
    package, name = _package(path), current_name(name)
    if name.startswith(f"{OURS}.") and package and not name.startswith(f"{OURS}.{package}."):
        raise ConfigError(f"{where} is no {_kind_words(path)}; those are in {OURS}.{package}")
    try:
        target = _imported(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{where} cannot be imported: {' '.join(str(error).split())}") from error
    if not callable(target):
        raise ConfigError(f"{where} is not a class or a function")
    if (problem := _kind_problem(target, path)) is not None:
        raise ConfigError(f"{where} {problem}")
    called: Callable[..., Any] = target
    return called


def _imported(name: str) -> object:
    """Import a dotted name; packages in the working directory come after all installed ones.

    The working directory is on the module path only for this import, as a file there could otherwise be imported
    instead of a missing library.
    """
    try:
        return resolve_name(name)
    except ModuleNotFoundError as error:
        package, here = name.partition(".")[0], Path.cwd()
        if error.name != package or not ((here / package).is_dir() or (here / f"{package}.py").is_file()):
            raise
        sys.path.append(str(here))
        try:
            importlib.invalidate_caches()
            return resolve_name(name)
        finally:
            sys.path.remove(str(here))


def _checked(packages: Iterable[str]) -> frozenset[str]:
    results = frozenset(packages)
    for name in sorted(results):
        if not name.isidentifier() or name in sys.stdlib_module_names:
            raise ConfigError(f"trust={escaped(shortened(name, 60))}: should be the name of a package of your own")
    return results


def _targets(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if name == "_target_":
            yield path, str(value)
        elif isinstance(value, Mapping):
            yield from _targets(value, f"{path}.{name}" if path else str(name))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                if isinstance(inner, Mapping):
                    yield from _targets(inner, f"{path}.{name}.{index}")


def _package(path: str) -> str | None:
    """Return the package of the classes that a node may name; None at the top level."""
    if not path:
        return None
    group = path.partition(".")[0]
    return GROUPS[group][0] if group in GROUPS else group


def _kind_words(path: str) -> str:
    return f"{path} to choose" if path else "command"


def _kind_problem(target: Callable[..., Any], path: str) -> str | None:
    """Return why a class or function does not fit its place; None if it does."""
    base = GROUPS.get(path, ("", None))[1]
    if base is None or (target.__module__ or "").startswith(f"{OURS}."):
        return None
    kind = resolve_name(base)
    made: Any = target if inspect.isclass(target) else get_type_hints(target).get("return")
    if not inspect.isclass(made):
        return f"does not say what it returns; it should be annotated to return {kind.__name__}"
    if not getattr(kind, "_is_protocol", False):
        return None if issubclass(made, kind) else f"is no {kind.__name__}"
    members = [name for name, value in vars(kind).items() if not name.startswith("_") and callable(value)]
    members += ["__call__"] if "__call__" in vars(kind) else []
    missing = [name for name in members if not hasattr(made, name)]
    return f"is no {kind.__name__}: it has no {missing[0]}" if missing else None
