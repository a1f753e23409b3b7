"""Checks that runs can be compared: same data, split and held-out episodes, and one config per row."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from metadialog.config import complete, show
from metadialog.errors import ConfigError, RunError
from metadialog.reports.runs import Run
from metadialog.runs import layout
from metadialog.runs.config_file import flat, read_config
from metadialog.runs.reading import is_there
from metadialog.text import counted

# Options that name the directory of another run.
_SOURCES = ("run", "start.run")

# Where a run was made and with what, rather than what it does.
_WHERE = ("seed", "logger", "device", "threads", "cache", "resume", "dataset.root", "dataset.path")


def check_comparable(runs: Sequence[Run]) -> None:
    """Check that runs can be compared, and that each row has one config.

    Raises:
        RunError: they cannot; the message names the differences and the runs.
    """
    problems = list(_differences(runs))
    if problems:
        raise RunError(f"the runs are not comparable: {'; '.join(problems)}; make a table of each")
    for algorithm in sorted({run.algorithm for run in runs}):
        _check_row(algorithm, [run for run in runs if run.algorithm == algorithm])


def row_differences(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Return the options in which rows differ beyond their algorithms: option -> algorithm -> value.

    They are shown to readers, who can judge whether the comparison is fair.
    """
    firsts = {run.algorithm: _options(run.config) for run in reversed(runs)}
    keys = sorted({key for options in firsts.values() for key in options})
    results = {}
    for key in keys:
        values = {algorithm: show(options.get(key, "-")) for algorithm, options in sorted(firsts.items())}
        if key.partition(".")[0] != "algorithm" and len(set(values.values())) > 1:
            results[key] = values
    return results


def _differences(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the reasons against a comparison, with the runs on either side."""
    yield from _unequal("the data set", runs, lambda run: str(run.records["dataset"].iloc[0]))
    yield from _unequal("the texts' language", runs, lambda run: run.language)
    splits = {key for run in runs for key in flat(run.config.get("split"), "split")}
    for key in sorted(splits):
        yield from _unequal(key, runs, lambda run, key=key: show(flat(run.config.get("split"), "split").get(key, "-")))  # type: ignore[misc]
    for metric in sorted({name for run in runs for name in run.signatures}):
        yield from _unequal(f"the signature of {metric}", runs, lambda run, m=metric: run.signatures.get(m, "-"))  # type: ignore[misc]
    yield from _other_episodes(runs)


def _unequal(what: str, runs: Sequence[Run], value: Callable[[Run], Hashable]) -> Iterator[str]:
    sides = _sides(runs, value)
    if len(sides) > 1:
        yield f"{what} is {', '.join(f'{found} in {_names(paths)}' for found, paths in sides.items())}"


def _sides(runs: Sequence[Run], value: Callable[[Run], Hashable]) -> dict[Hashable, list[Path]]:
    sides: dict[Hashable, list[Path]] = {}
    for run in runs:
        sides.setdefault(value(run), []).append(run.path)
    return sides


def _names(paths: Sequence[Path]) -> str:
    return str(paths[0]) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _other_episodes(runs: Sequence[Run]) -> Iterator[str]:
    """Yield the differences of held-out episodes; the numbers of shots may differ, but some must be common."""
    for shots in sorted({shots for run in runs for shots in run.episodes}):
        having = [run for run in runs if shots in run.episodes]
        sides = list(_sides(having, lambda run: run.episodes[shots]).values())  # noqa: B023 - used at once
        if len(sides) > 1:
            yield (
                f"the held-out episodes with {counted(shots, 'shot')} differ between {_names(sides[0])}, and "
                f"{_names(sides[1])}{_why(runs, sides)}"
            )
            return
    for first, second in combinations({frozenset(run.episodes): run for run in runs}.values(), 2):
        if not set(first.episodes) & set(second.episodes):
            shots_of = [", ".join(map(str, sorted(run.episodes))) for run in (first, second)]
            yield f"shots are {shots_of[0]} in {first.path}, {shots_of[1]} in {second.path}, and none in common"
            return
    words = _sides(runs, _scored_words)
    if len(words) > 1:
        one, other = list(words.values())[:2]
        yield (
            f"the scored words of the same episodes differ between {_names(one)}, and {_names(other)} "
            f"(references cut by evaluation.max_tokens, or another sampler.loss_on)"
        )


def _scored_words(run: Run) -> Hashable:
    """Return the number of reference words of each episode, which does not depend on the shots."""
    words = run.records.groupby(["topic", "episode"])["words"].agg(["min", "max"])
    return tuple(words.itertuples(name=None))


def _why(runs: Sequence[Run], sides: Sequence[Sequence[Path]]) -> str:
    """Return the options that explain a difference, if any."""
    pair = [next(run for run in runs if run.path == side[0]) for side in sides[:2]]
    options = [flat(run.config.get("evaluation"), "evaluation") for run in pair]
    ignored = ("evaluation.shots", "evaluation.steps", "evaluation.report_steps")
    keys = [key for key in sorted({*options[0], *options[1]}) if key not in ignored]
    named = [
        f"{key} {show(options[0].get(key, '-'))} and {show(options[1].get(key, '-'))}"
        for key in keys
        if options[0].get(key) != options[1].get(key)
    ]
    return f" ({', '.join(named)})" if named else ""


def _check_row(algorithm: str, runs: Sequence[Run]) -> None:
    """Check that the runs of a row differ only in their seeds.

    Raises:
        RunError: they differ in other options.
    """
    for run, other in combinations(runs, 2):
        if run.seed == other.seed:
            raise RunError(
                f"algorithm {algorithm}: seed {run.seed} is there twice, in {run.path} and {other.path}; leave one out"
            )
    for run in runs[1:]:
        base, options = _compared(runs[0].config, run.config)
        differing = [key for key in sorted({*base, *options}) if base.get(key, "-") != options.get(key, "-")]
        if differing:
            values = "; ".join(
                f"{key} ({show(base.get(key, '-'))} in {runs[0].path}, {show(options.get(key, '-'))} in {run.path})"
                for key in differing
            )
            raise RunError(
                f"algorithm {algorithm}: its runs differ in {values}; a row is one config with several seeds: give "
                f"each config a name by algorithm.name=..., or make a table of each"
            )


def _compared(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of two runs; options added in a later version have their default in an earlier run."""
    options = _options(one), _options(other)
    if options[0].keys() == options[1].keys():
        return options
    try:
        return _options(complete(one)), _options(complete(other))
    except ConfigError:  # it names classes that must not be imported, so their defaults are unknown
        return options


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flattened options of a run; a run that it started from is represented by its options, not its path."""
    results: dict[str, Any] = {}
    for key, value in flat(config).items():
        if any(key == where or key.startswith(f"{where}.") for where in _WHERE):
            continue
        source = Path(str(value)).expanduser() / layout.CONFIG if key in _SOURCES and value is not None else None
        if source is not None and is_there(source):
            results |= {f"{key}:{inner}": kept for inner, kept in _options(read_config(source)).items()}
        elif key not in _SOURCES:  # the original run no longer exists
            results[key] = value
    return results
