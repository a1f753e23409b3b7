"""Where other libraries keep their files, for a user without a home folder that can be written to.

They would otherwise fail, or fill the output with lines about it. Batch systems and containers have such users.
"""

import os
import tempfile
from pathlib import Path

_FOLDERS = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
_LIBRARIES = {
    "MPLCONFIGDIR": "config/matplotlib",
    "WANDB_CACHE_DIR": "cache/wandb",
    "WANDB_CONFIG_DIR": "config/wandb",
    "WANDB_DATA_DIR": "data/wandb",
}


def provide_home() -> None:
    """Name folders for caches and settings below the system's temporary folder, where the home cannot be written to.

    What is named in the environment already stays as it is; child processes see the same folders.
    """
    if has_home():
        return
    folder = _own_folder()
    for variable, name in (_FOLDERS | _LIBRARIES).items():
        if variable not in os.environ:
            path = folder / name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.environ[variable] = str(path)


def has_home() -> bool:
    """Say whether the user has a home folder that can be written to, or in which one can be made."""
    try:
        home = Path.home()
    except RuntimeError:
        return False
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    return existing.is_dir() and os.access(existing, os.W_OK)


def _own_folder() -> Path:
    """Return a folder that nobody else can have filled: the same each time, unless somebody has taken its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"metadialog-home-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_symlink() and folder.stat().st_uid == user:
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="metadialog-home-"))
    return Path(tempfile.mkdtemp(prefix="metadialog-home-"))
