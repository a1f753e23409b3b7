"""What is checked before Hydra makes a directory or starts anything.

The config that Hydra is about to run is composed and checked here first (every job's, in a sweep), and so are
the directories that it names: a wrong name or value is found while nothing has happened yet.
"""

from metadialog.cli.command_line import CommandLine
from metadialog.cli.output_directories import check_output, output_directory
from metadialog.cli.sweep_options import check_launchers, check_storage, name_sweep, plan_sweep
from metadialog.composing.compose import Composed, compose_job, initialised
from metadialog.composing.multirun import jobs_to_check
from metadialog.experiment.check import computes
from metadialog.experiment.compose import check_composed


def preflight(command: str, line: CommandLine) -> CommandLine:
    """Compose and check what Hydra is about to run, and run nothing.

    Returns:
        The command line; that of a sweep with the sweep's name.

    Raises:
        ConfigError: with one line for each mistake.
        DataError: a data file that is named is not there.
        RunError: a directory that is named is not what it has to be.
    """
    options, overrides = line.options, list(line.overrides)
    if options.help or options.hydra_help or options.shell_completion or options.info:
        return line
    config_name = options.config_name or command
    with initialised(command, options.config_dir):
        check_launchers(overrides)
        plan = None if options.cfg else plan_sweep(config_name, overrides, multirun=options.multirun)
        jobs = plan.corners() if plan else jobs_to_check(overrides, config_name, multirun=options.multirun)
        for job in jobs:
            composed = Composed(compose_job(config_name, job, with_hydra=True))
            config = composed.resolve()
            if not options.cfg:
                check_composed(composed, multirun=options.multirun)
        if plan:
            overrides = name_sweep(config_name, overrides, plan)
        if not options.cfg and config.get("output") is not None:
            output_directory(config["output"])
        elif not options.cfg and computes(config):
            check_output(config_name, overrides, multirun=options.multirun)
        if plan:
            check_storage(config_name, overrides)
    return line.with_overrides(overrides)
