"""Cache and settings folders of other libraries, for users without a writable home folder.

Without them, libraries fail or print warnings. Batch systems and containers may have such users.
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
    """Set cache and settings folders in the system's temporary folder if the home folder is not writable.

    Variables that are already set in the environment are kept; child processes inherit the folders.
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
    """Tell whether the user has a writable home folder, or one can be created."""
    try:
        home = Path.home()
    except RuntimeError:
        return False
    existing = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    return existing.is_dir() and os.access(existing, os.W_OK)


def _own_folder() -> Path:
    """Return a folder that only this user can write to; the same each time unless its name is taken."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"metadialog-home-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_symlink() and folder.stat().st_uid == user:
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="metadialog-home-"))
    return Path(tempfile.mkdtemp(prefix="metadialog-home-"))
