"""The folder of the cache."""

import os
from pathlib import Path

import platformdirs

from metadialog.errors import ConfigError

ENVIRONMENT = "METADIALOG_CACHE"
"""Environment variable with the cache folder, used if no option sets it."""


def cache_directory(option: str | None = None) -> Path:
    """Return the cache folder, which need not exist yet.

    It is the folder in the option, else that in the environment variable METADIALOG_CACHE, else `metadialog` in the
    user's cache folder (on Linux $XDG_CACHE_HOME, or ~/.cache).

    Raises:
        ConfigError: the path begins with `~user`, and there is no such home folder.
    """
    chosen = option or os.environ.get(ENVIRONMENT)
    if not chosen:
        return platformdirs.user_cache_path("metadialog")
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"cache={chosen}: there is no such home folder; write the path in full") from error
