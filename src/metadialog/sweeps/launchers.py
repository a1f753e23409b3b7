"""Properties of Hydra's launchers: their packages, and the number of runs on one machine."""

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
"""Launchers of Hydra's plugins, with their package and the extra that installs it."""

QUEUE = 16
"""Number of concurrent runs for batch systems with a queue."""


def check_launcher(choice: str) -> None:
    """Check that a launcher is installed.

    Raises:
        ConfigError: it is not installed.
    """
    if choice in PLUGINS:
        package, extra = PLUGINS[choice]
        need(package, extra, f"hydra/launcher={choice}")


def default_jobs(choice: str) -> int:
    """Return the default number of concurrent runs of a launcher."""
    if choice == "basic":
        return 1
    return QUEUE if choice in ("submitit_slurm", "ray_aws") else cores()


def threads(choice: str, options: Mapping[str, Any], jobs: int | None = None) -> int | None:
    """Return the number of threads of each run; None if only its machine determines it.

    Args:
        choice: the launcher.
        options: config of the launcher.
        jobs: number of concurrent runs; None if the launcher decides.
    """
    if choice in ("submitit_slurm", "ray_aws") or (choice == "ray" and _address(options) is not None):
        # A job has its own cores there.
        return None
    if choice == "joblib":
        limit = int(options.get("n_jobs", -1))
        jobs = min(jobs or cores(), limit if limit > 0 else cores())
    return share(jobs or default_jobs(choice))


def _address(options: Mapping[str, Any]) -> object:
    """Return the address of an existing Ray cluster."""
    address = options.get("ray", {}).get("init", {}).get("address")
    return None if address == "local" else address
