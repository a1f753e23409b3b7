"""`metadialog sweep-config`: a sweep file of Weights & Biases, whose program is `metadialog train`."""

import os
import sys
from typing import Any

import yaml

from hydra_plugins.metadialog_sweeper.sweeper import register
from metadialog.cli.command_line import CommandLine
from metadialog.cli.preflight import preflight
from metadialog.cli.sweep_options import plan_sweep, readable
from metadialog.cli.user_errors import guarded
from metadialog.composing.compose import compose_job, initialised
from metadialog.config import plain
from metadialog.errors import ConfigError
from metadialog.loggers.wandb_session import DEFAULT_PROJECT
from metadialog.sweeps.plan import GROUP, Plan

METRIC = "meta_validation/loss_after"
"""Name of the validation loss after adaptation in the logger, nats per token."""

_METHODS = {"tpe": "bayes", "random": "random", "grid": "grid"}
_HELP = """\
usage: metadialog sweep-config [train's overrides] > sweep.yaml

Writes a sweep file of Weights & Biases to stdout. It varies the same options as `metadialog train -m sweep=optuna` with
the same overrides; sweep=random and sweep=grid, sweep.trials and sweep.space can be given too.

  metadialog sweep-config algorithm=maml > sweep.yaml
  wandb sweep sweep.yaml
  wandb agent ENTITY/PROJECT/SWEEP"""


def run(arguments: list[str]) -> int:
    """Print the sweep file; return the exit code.

    Args:
        arguments: arguments after `metadialog sweep-config`.
    """
    if {"-h", "--help"} & {*arguments}:
        print(_HELP)  # noqa: T201
        return 0
    return guarded("sweep-config", lambda: _write(arguments))


def _write(arguments: list[str]) -> int:
    register()
    line = CommandLine.parse(arguments)
    if line.options.multirun or line.options.cfg:
        raise ConfigError("sweep-config: takes overrides and --config-dir, and no other flags")
    chosen = any(override.key_or_group == GROUP for override in readable(list(line.overrides)))
    overrides = [*line.overrides] if chosen else [f"{GROUP}=optuna", *line.overrides]
    preflight("train", CommandLine(("-m", *line.flags), tuple(overrides)))
    with initialised("train", line.options.config_dir):
        plan = plan_sweep("train", overrides, multirun=True)
        fixed = [override for override in overrides if override not in _swept(overrides)]
        config = plain(compose_job("train", fixed))
    if plan is None:
        raise ConfigError(f"{GROUP}=null: choose {GROUP}=optuna, {GROUP}=random or {GROUP}=grid")
    yaml.safe_dump(
        sweep_file(plan, config, list(line.flags)), sys.stdout, sort_keys=False, allow_unicode=True, width=120
    )
    return 0


def sweep_file(plan: Plan, config: dict[str, Any], folder: list[str]) -> dict[str, Any]:
    """Return a sweep in the format of Weights & Biases.

    Args:
        plan: plan of the sweep.
        config: the composed config of `train`, with its node `sweep`.
        folder: flag of the additional config folder, if any.

    Raises:
        ConfigError: the logger does not log to Weights & Biases.
    """
    logger, sweep = config["logger"], config[GROUP]
    if "project" not in logger:
        raise ConfigError(
            "logger: a sweep of Weights & Biases learns from what its runs log there: choose logger=wandb"
        )
    count = sweep["trials"]
    points = sweep["points"] if sweep["sampler"] == "grid" else None
    return {
        "program": "metadialog",
        "command": ["${env}", "metadialog", "train", *folder, *plan.fixed, "${args_no_hyphens}"],
        "project": logger["project"] or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        **({} if logger["entity"] is None else {"entity": logger["entity"]}),
        **({} if sweep["name"] is None else {"name": sweep["name"]}),
        "method": _METHODS[sweep["sampler"]],
        **({} if count is None else {"run_cap": count}),
        "metric": {"name": METRIC, "goal": "minimize"},
        "parameters": {dimension.key: dimension.for_wandb(points) for dimension in plan.dimensions},
    }


def _swept(overrides: list[str]) -> set[str]:
    return {override.input_line or "" for override in readable(overrides) if override.is_sweep_override()}
