"""Install metadialog with plain pip, into the environment of the Python that runs this.

    python install.py                              this checkout, so that changes to it count at once
    python install.py metadialog-0.1.0.whl         a wheel
    python install.py metadialog-0.1.0.whl serve,optuna    with extras

learn2learn 0.2.0 compiles on Python 3.11 and later from its .pyx files alone, which takes a build flag, and names
packages that are not needed here (gym, torchvision and others): `pip check` misses these afterwards, and is right to.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LEARN2LEARN = "learn2learn==0.2.0"
BUILDS_IT = ("Cython", "setuptools", "wheel")
IT_IMPORTS = ("requests", "scipy", "tqdm")  # the rest of what it imports, metadialog needs as well
READ = "import importlib.metadata as m; print(*m.requires('metadialog'), sep='\\n')"


def pip(*arguments: str, **environment: str) -> None:
    """Run pip in this environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def install_learn2learn() -> None:
    """Compile learn2learn with tools that are put aside for that, and install it without what it names."""
    with tempfile.TemporaryDirectory() as folder:
        pip("install", "--quiet", "--target", f"{folder}/tools", *BUILDS_IT)
        flags = ["--no-deps", "--no-build-isolation", "--config-settings=--global-option=build_ext"]
        # pip before 23.3 takes the flags only so; where all builds are such, it passes over the variable.
        pip("wheel", "--wheel-dir", folder, *flags, LEARN2LEARN, PYTHONPATH=f"{folder}/tools", PIP_USE_PEP517="1")
        pip("install", "--no-deps", *map(str, Path(folder).glob("*.whl")))


def requirements(extras: set[str]) -> list[str]:
    """Return what the installed metadialog needs, but for learn2learn, in the way that pip takes it."""
    lines = subprocess.run([sys.executable, "-c", READ], check=True, capture_output=True, text=True).stdout.splitlines()
    chosen = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if not requirement.startswith("learn2learn") and (extra is None or extra[1] in extras):
            chosen.append(requirement.strip())
    return [*chosen, *IT_IMPORTS]


def main() -> None:
    """Install everything."""
    what, extras = [*sys.argv[1:], "", ""][:2]
    if what in ("-h", "--help"):
        sys.exit(__doc__)
    checkout = ["--editable", str(Path(__file__).resolve().parent)]
    install_learn2learn()
    pip("install", "--no-deps", *([what] if what else checkout))
    pip("install", *requirements({name for name in extras.split(",") if name}))


if __name__ == "__main__":
    main()
