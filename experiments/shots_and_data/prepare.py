"""Write SGD's domains as JSON Lines, with fewer dialogues of the meta-train domains.

    python experiments/shots_and_data/prepare.py FOLDER SGD

FOLDER gets `dialogues_N.jsonl` for N of 10, 30, 100 and 300: the meta-train domains have N dialogues at most, drawn at
random, and each N has those of the smaller ones; the other domains have all of theirs. SGD is the data set's folder.
"""

import random
import sys
from pathlib import Path

from metadialog.experiment.compose import compose
from metadialog.inference.folder import to_jsonl
from metadialog.preparation.topics import prepare_topics

SIZES = (10, 30, 100, 300)


def main(folder: str, root: str) -> None:
    """Write the files."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    overrides = ["+after_convergence=config", f"dataset.root={root}"]  # has the same data and the same split
    config = compose("train", overrides, Path(__file__).parents[1]).config
    topics = prepare_topics(config["dataset"], config["split"])
    split = topics.split
    dialogues = {name: list(said) for name, said in topics.of([*split.train, *split.validation, *split.test]).items()}
    for name in split.train:
        random.Random(0).shuffle(dialogues[name])  # noqa: S311 - no secret
    for size in SIZES:
        kept = [one for topic, said in dialogues.items() for one in (said[:size] if topic in split.train else said)]
        (target / f"dialogues_{size}.jsonl").write_text(to_jsonl(kept), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
