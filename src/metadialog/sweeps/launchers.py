"""What has to be known of Hydra's launchers: what brings them, and how many runs they have on one machine."""

from collections.abc import Mapping
from typing import Any

from metadialog.extras import need
from metadialog.threads import cores, share

PLUGINS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "ray_aws": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}
"""The launchers of Hydra's own plugins, each with its package and the extra of this package that brings it."""

QUEUE = 16
"""Runs at the same time where a batch system has a queue for them."""


def check_launcher(choice: str) -> None:
    """Check that a launcher is installed.

    Raises:
        ConfigError: it is not.
    """
    if choice in PLUGINS:
        package, extra = PLUGINS[choice]
        need(package, extra, f"hydra/launcher={choice}")


def default_jobs(choice: str) -> int:
    """Return how many runs a launcher has at the same time, by default."""
    if choice == "basic":
        return 1
    return QUEUE if choice in ("submitit_slurm", "ray_aws") else cores()


def threads(choice: str, options: Mapping[str, Any], jobs: int | None = None) -> int | None:
    """Return the threads of each run; None if only the machine that it runs on can tell.

    Args:
        choice: the launcher.
        options: its config.
        jobs: runs at the same time; None where the launcher alone decides.
    """
    if choice in ("submitit_slurm", "ray_aws") or (choice == "ray" and _address(options) is not None):
        # A job has cores of its own there.
        return None
    if choice == "joblib":
        limit = int(options.get("n_jobs", -1))
        jobs = min(jobs or cores(), limit if limit > 0 else cores())
    return share(jobs or default_jobs(choice))


def _address(options: Mapping[str, Any]) -> object:
    """Return the address of a Ray cluster that is there already."""
    address = options.get("ray", {}).get("init", {}).get("address")
    return None if address == "local" else address
