"""Options of classes and functions that a config sets, declared once and inherited.

An option is declared by its annotation, which carries its type and range, such as `Annotated[float, Gt(0)]`. Its
default is only in a yaml file of `conf/`, and is written as `FROM_YAML` here:

    class MAML(GradientAlgorithm):  # an `Options` class: its annotated attributes are its options
        first_order: bool = FROM_YAML

    @with_defaults  # a function, or an explicit constructor
    def adam(parameters, *, lr: Annotated[float, Gt(0)] = FROM_YAML): ...

A config sets every option. A call from Python may set only some: `MAML(inner_lr=0.1)` takes the others from the
packaged yaml whose `_target_` is that class, or from that of its nearest parent with one.
"""

import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast, dataclass_transform, get_type_hints

Call = TypeVar("Call", bound=Callable[..., Any])


class _FromYaml:
    """The type of `FROM_YAML`."""

    def __repr__(self) -> str:
        return "FROM_YAML"


FROM_YAML: Any = _FromYaml()
"""Marks a default value that is defined in a yaml."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Options:
    """Base class whose annotated attributes are options, like the fields of a keyword-only dataclass.

    Options are inherited, and a constructor that sets them is generated for each subclass; `__post_init__` checks them
    and computes what depends on them. A subclass changes the type or range of an option by annotating it again. A plain
    attribute without an annotation fixes its value, and removes it from the options of the subclass. A subclass may
    also define its own `__init__` and pass on the options of its parents as `**options`.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Generate the constructor."""
        super().__init_subclass__(**arguments)
        constructor = cls.__init__
        made = constructor is object.__init__ or hasattr(constructor, "made")
        own = inspect.get_annotations(cls)
        inherited = {name for base in cls.__mro__[1:] for name in vars(base).get("__dataclass_fields__", {})}
        cls.__annotations__ = own | dict.fromkeys(inherited & set(vars(cls)) - set(own), ClassVar[Any])
        dataclass(init=made, kw_only=True, eq=False, repr=False)(cls)
        if "__init__" in vars(cls):
            cls.__init__ = with_defaults(cls.__init__)  # type: ignore[method-assign]
        if made:
            cls.__init__.made = True  # type: ignore[attr-defined]


def with_defaults(call: Call) -> Call:
    """Decorate a function or constructor so that omitted options are taken from its packaged yaml.

    Raises:
        TypeError: (from the call) an option is omitted, and no yaml has a value for it.
    """
    signature = inspect.signature(call)
    options = [name for name, parameter in signature.parameters.items() if parameter.default is FROM_YAML]
    if not options:
        return call

    @functools.wraps(call)
    def filled(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        missing = [name for name in options if given.get(name, FROM_YAML) is FROM_YAML]
        if missing:
            target = type(args[0]) if call.__name__ == "__init__" else filled
            packaged = packaged_defaults(target)
            without = [name for name in missing if name not in packaged]
            if without:
                raise TypeError(f"{target.__name__}(): {', '.join(without)}: must be given; no yaml has a default")
            kwargs |= {name: copy.deepcopy(packaged[name]) for name in missing}
        return call(*args, **kwargs)

    return cast("Call", filled)


def schema(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a class or a function with their annotations.

    These are its parameters that are keyword-only or have a default. A class whose constructor takes `**options` also
    has those of its parents.
    """
    return {name: annotation for name, (_, annotation) in _options(target).items()}


def required(target: Callable[..., Any]) -> frozenset[str]:
    """Return the options that a config must set: those without a default in Python."""
    in_python = defaults(target)
    return frozenset(name for name in schema(target) if in_python.get(name, FROM_YAML) is FROM_YAML)


def defaults(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the defaults of options in Python; `FROM_YAML` for those defined in a yaml."""
    empty = inspect.Parameter.empty
    return {name: p.default for name, (p, _) in _options(target).items() if p.default is not empty}


def python_defaults(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the options with a default in Python, which applies to configs from before they existed."""
    empty = (inspect.Parameter.empty, FROM_YAML)
    results = {name: parameter.default for name, (parameter, _) in _options(target).items()}
    return {name: default for name, default in results.items() if default not in empty}


def supplied(target: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the parameters that the program supplies, not a config."""
    call = next(_constructors(target), None) if inspect.isclass(target) else target
    parameters = [] if call is None else list(inspect.signature(call).parameters.values())
    return tuple(p.name for p in parameters if p.kind in _POSITIONAL and not _is_option(p, call) and p.name != "self")


def packaged_defaults(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the options set in the packaged yaml of a function, or of a class and its parents."""
    merged: dict[str, Any] = {}
    lineage = reversed(target.__mro__) if inspect.isclass(target) else [target]
    for one in lineage:
        path = _yaml_of().get(f"{one.__module__}.{one.__qualname__}")
        if path is not None:
            merged |= _read(path)
    return {name: merged[name] for name in schema(target) if name in merged and _is_value(merged[name])}


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _options(target: Callable[..., Any]) -> dict[str, tuple[inspect.Parameter, Any]]:
    """Return the parameter and the annotation of each option."""
    options: dict[str, tuple[inspect.Parameter, Any]] = {}
    for call in _constructors(target) if inspect.isclass(target) else [target]:
        parameters = inspect.signature(call).parameters.values()
        hints = _hints(target, call)
        for parameter in parameters:
            if _is_option(parameter, call):
                options.setdefault(parameter.name, (parameter, hints.get(parameter.name, Any)))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return options


def _constructors(target: type) -> Iterator[Callable[..., Any]]:
    """Yield the constructor of a class, and those of its parents."""
    return (vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object)


def _hints(target: Callable[..., Any], call: Callable[..., Any]) -> dict[str, Any]:
    # Annotated attributes come from several modules with different namespaces.
    return get_type_hints(target if _is_made(call) else call, include_extras=True)


def _is_option(parameter: inspect.Parameter, call: Callable[..., Any] | None) -> bool:
    if parameter.kind is parameter.KEYWORD_ONLY:
        return True
    has_default = parameter.kind in _POSITIONAL and parameter.default is not parameter.empty
    return has_default and not _is_made(call)


def _is_made(call: Callable[..., Any] | None) -> bool:
    """Tell whether a constructor was generated by `Options`."""
    return hasattr(call, "made")


@functools.cache
def _yaml_of() -> Mapping[str, Path]:
    """Return the packaged yaml of each class and function, by its full name."""
    folder = Path(str(files("metadialog.conf").joinpath("train.yaml"))).parent
    named = ((re.search(r"^_target_: *(\S+)", path.read_text("utf-8"), re.M), path) for path in folder.rglob("*.yaml"))
    return {match[1]: path for match, path in named if match}


@functools.cache
def _read(path: Path) -> Mapping[str, Any]:
    """Read a yaml, with the yamls of its group that it extends."""
    from omegaconf import OmegaConf  # slow to import

    content = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.load(path)))
    merged: dict[str, Any] = {}
    for entry in content.pop("defaults", ["_self_"]):
        if not isinstance(entry, str) or "@" in entry:  # from another group, or placed elsewhere
            continue
        merged |= content if entry == "_self_" else _read(path.parent / f"{entry.removesuffix('@_here_')}.yaml")
    return merged


def _is_value(value: object) -> bool:
    """Tell whether this is a plain value, rather than missing or an interpolation."""
    return not isinstance(value, str) or (value != "???" and "${" not in value)
