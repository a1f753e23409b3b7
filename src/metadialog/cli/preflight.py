"""Checks before Hydra creates directories or starts anything.

The config that Hydra is about to run is composed and checked first (that of every job, in a sweep), and so are the
directories in it, so that wrong names and values are found before anything has happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metadialog.cli.command_line import CommandLine
from metadialog.cli.output_directories import check_output, check_sweep_output, output_directory
from metadialog.cli.sweep_options import check_launchers, check_storage, name_sweep, plan_sweep
from metadialog.composing.compose import Composed, compose_job, initialised
from metadialog.composing.multirun import jobs_to_check
from metadialog.experiment.check import check_composed, computes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked command line.

    Attributes:
        line: command line for Hydra, in a sweep with the sweep's name.
        composed: config of a single job, so that it is composed only once; None otherwise.
    """

    line: CommandLine
    composed: Composed | None = None


def preflight(command: str, line: CommandLine) -> Prepared:
    """Compose and check the jobs that Hydra is about to run, without running them.

    Raises:
        ConfigError: with one line for each error.
        DataError: a data file does not exist.
        RunError: a run directory does not exist or is unsuitable.
    """
    options, overrides = line.options, list(line.overrides)
    if options.help or options.hydra_help or options.shell_completion or options.info:
        return Prepared(line)
    config_name = options.config_name or command
    with initialised(command, options.config_dir):
        check_launchers(overrides)
        plan = None if options.cfg else plan_sweep(config_name, overrides, multirun=options.multirun)
        jobs = plan.corners() if plan else jobs_to_check(overrides, config_name, multirun=options.multirun)
        configs: dict[tuple[str, ...], Mapping[str, Any]] = {}
        for job in jobs:
            composed = Composed(compose_job(config_name, job, with_hydra=True))
            config = configs[tuple(job)] = composed.resolve()
            if not options.cfg:
                check_composed(composed, multirun=options.multirun)
        if plan:
            overrides = name_sweep(config_name, overrides, plan, lambda job: configs[tuple(job)])
        if not options.cfg and config.get("output") is not None and "input" not in config:  # otherwise it is a file
            output_directory(config["output"])
        elif not options.cfg and computes(config):
            if options.multirun:
                check_sweep_output(config_name, overrides)
            else:
                check_output(composed)
        if plan:
            check_storage(config_name, overrides)
    return Prepared(line.with_overrides(overrides), None if options.multirun or options.cfg else composed)
