"""Composition of the jobs of a command line before Hydra runs them."""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from metadialog.composing.compose import compose_job, parse
from metadialog.errors import ConfigError
from metadialog.hydra_internals import BasicSweeper, Override, OverridesParser


def jobs_to_check(overrides: list[str], config_name: str, *, multirun: bool) -> Iterator[list[str]]:
    """Yield the overrides of the jobs to check.

    In a sweep each value of each option is composed once, with the first values of the others, so that the number of
    checks is the sum of the choices rather than their product.
    """
    parsed = parse(overrides, config_name)
    swept = (_sweeper_parameters(config_name, parsed) if multirun else None) or {}
    sweeps = [override for override in parsed if override.is_sweep_override()] if multirun else []
    fixed = [override.input_line or "" for override in parsed if override not in sweeps]
    swept |= {override.get_key_element(): _values(override) for override in sweeps}
    first = {key: values[0] for key, values in swept.items()}
    yield [*fixed, *(f"{key}={value}" for key, value in first.items())]
    for key, values in swept.items():
        for value in values[1:]:
            yield [*fixed, *(f"{k}={v}" for k, v in (first | {key: value}).items())]


def _values(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: this sweep has no list of values; give one, as in key=1,2,3")
    try:
        values = list(override.sweep_string_iterator())
    except ValueError as error:  # such as range(1,5,0)
        raise ConfigError(f"{override.input_line}: {error}; a range goes from its start to its end in steps") from error
    if not values:
        raise ConfigError(f"{override.input_line}: names no value; give some, as in key=1,2,3")
    return values


def product(config_name: str, overrides: list[str]) -> Iterator[DictConfig]:
    """Compose every job of a sweep with `hydra` and the job's number; slower than `jobs_to_check`, but complete.

    For sweepers other than Hydra's the jobs are not known in advance, so there are none.
    """
    parsed = parse(overrides, config_name)
    parameters = _sweeper_parameters(config_name, parsed)
    if parameters is None:
        return
    lines = [f"{key}={','.join(values)}" for key, values in parameters.items()]
    (jobs,) = BasicSweeper.split_arguments(parse([*lines, *overrides], config_name), None)
    for number, job in enumerate(jobs):
        config = compose_job(config_name, job, with_hydra=True)
        with open_dict(config):
            config.hydra.job.num = config.hydra.job.id = number
        yield config


def sweep_template(config_name: str, overrides: list[str]) -> tuple[Path, str]:
    """Return the directory of a sweep, and the unresolved pattern of its subdirectories."""
    fixed = [o.input_line or "" for o in parse(overrides, config_name) if not o.is_sweep_override()]
    sweep = compose_job(config_name, fixed, with_hydra=True).hydra.sweep
    return Path(sweep.dir), str(OmegaConf.to_container(sweep, resolve=False)["subdir"])  # type: ignore[index, call-overload]


def _sweeper_parameters(config_name: str, parsed: list[Override]) -> dict[str, list[str]] | None:
    """Return the sweep in `hydra.sweeper.params` of the config; None if the sweeper is not Hydra's."""
    fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    config = compose_job(config_name, fixed, with_hydra=True)
    if not str(config.hydra.sweeper._target_).endswith(BasicSweeper.__name__):
        return None
    parameters = config.hydra.sweeper.get("params") or {}
    lines = OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in parameters.items()])
    return {o.get_key_element(): _values(o) if o.is_sweep_override() else [o.get_value_string()] for o in lines}
