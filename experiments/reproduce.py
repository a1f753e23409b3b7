"""Make committed tables once more from the records that are kept beside them, and compare them byte by byte.

A study that keeps its records has a folder `records/` with the run directories that its tables are made of, without
checkpoints and models, and `tables.yaml`, which says for each table of `results/` with what options it was made.

    python experiments/reproduce.py            all of them
    python experiments/reproduce.py chinese    those of a study
"""

import contextlib
import difflib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from metadialog import cli

EXPERIMENTS = Path(__file__).parent


def reproduce(study: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each table of a study with the lines in which it differs from what its records give."""
    records = study / "records"
    for name, options in yaml.safe_load((records / "tables.yaml").read_text(encoding="utf-8")).items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(records):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = cli.main(["table", *options, f"output={folder}"])
            if code:
                yield name, said.getvalue().splitlines()
                continue
            made = (Path(folder) / "table.md").read_bytes()
        kept = (study / "results" / name).read_bytes()
        before, after = kept.decode().splitlines(), made.decode().splitlines()
        lines = list(difflib.unified_diff(before, after, "kept", "made", n=0, lineterm=""))
        yield name, lines or ([] if made == kept else ["they differ in how their lines end"])


def main(names: list[str]) -> int:
    """Reproduce the tables of the studies of these names, or of all that keep their records."""
    found = sorted(path.parent.parent for path in EXPERIMENTS.glob("*/records/tables.yaml"))
    wrong = 0
    for study in [study for study in found if not names or study.name in names]:
        for name, lines in reproduce(study):
            print(f"{study.name}/results/{name}: {'differs' if lines else 'the same, to the byte'}", *lines, sep="\n  ")
            wrong += bool(lines)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
