"""Write one JSON Lines file for each notion of a task, from topics dealt at random to corpora in two languages.

    python experiments/task_diversity/prepare.py FOLDER sgd=DIR personachat=DIR dailydialog=DIR metalwoz=DIR

Each file but that of the personas has 14 topics of 60 dialogues; there are 56 personas of 10 dialogues. Each DIR is the
folder of a data set, as in `dataset.root`.
"""

import itertools
import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue
from metadialog.experiment.compose import compose
from metadialog.inference.folder import to_jsonl
from metadialog.preparation.topics import prepare_topics

TOPICS, DIALOGUES = 14, 60
PERSONAS, OF_A_PERSONA = 56, 10

Topics = dict[str, list[Dialogue]]


def read(*overrides: str) -> Topics:
    """Return the dialogues of a data set by topic."""
    config = compose("train", [*overrides, "split=seeded", "split.min_dialogues=1"]).config
    topics = prepare_topics(config["dataset"], config["split"])
    split = topics.split
    return {name: list(said) for name, said in topics.of([*split.train, *split.validation, *split.test]).items()}


def some(topics: Topics, number: int, dialogues: int = DIALOGUES, prefix: str = "") -> Topics:
    """Return the first topics, by name, that have enough dialogues, and so many dialogues of each, at random."""
    dice = random.Random(0)  # noqa: S311 - no secret
    enough = [name for name in sorted(topics) if len(topics[name]) >= dialogues]
    if len(enough) < number:
        raise SystemExit(f"{number} topics of {dialogues} dialogues are wanted; there are {len(enough)}")
    return {f"{prefix}{name}": dice.sample(topics[name], dialogues) for name in enough[:number]}


def dealt_at_random(topics: Topics) -> Topics:
    """Return as many topics of the same sizes, with the dialogues of all of them dealt at random."""
    sizes = {f"group {number:02}": len(said) for number, said in enumerate(topics.values())}
    dialogues = list(itertools.chain.from_iterable(topics.values()))
    random.Random(0).shuffle(dialogues)  # noqa: S311 - no secret
    rest = iter(dialogues)
    return {name: list(itertools.islice(rest, size)) for name, size in sizes.items()}


def levels(roots: Mapping[str, str]) -> Iterable[tuple[str, Topics]]:
    """Yield the name of each notion of a task and its topics, from the most alike to the most different."""
    domains = some(read("dataset=sgd", f"dataset.root={roots['sgd']}"), TOPICS)
    chitchat = read("dataset=chitchat")
    personas = read("dataset=personachat", f"dataset.root={roots['personachat']}", "dataset.responses=persona")
    yield "random", dealt_at_random(domains)
    yield "prompts", some(chitchat, TOPICS)
    yield "personas", some(personas, PERSONAS, OF_A_PERSONA)
    yield "domains", domains
    daily = {
        language: read("dataset=dailydialog", f"dataset.root={roots['dailydialog']}", f"dataset.language={language}")
        for language in ("en", "zh")
    }
    tasks = read("dataset=metalwoz", f"dataset.root={roots['metalwoz']}")
    yield (
        "corpora",
        {
            **dict(list(domains.items())[::4]),
            **some(daily["en"], 2, prefix="en "),
            **some(daily["zh"], 2, prefix="zh "),
            **some(chitchat, 3, prefix="chat "),
            **some(tasks, 3, prefix="task "),
        },
    )


def write(path: Path, topics: Topics) -> None:
    """Write topics as JSON Lines."""
    named = [
        replace(dialogue, topic=topic, id=f"{topic}-{number}")
        for topic, dialogues in topics.items()
        for number, dialogue in enumerate(dialogues)
    ]
    path.write_text(to_jsonl(named), encoding="utf-8")


def main(folder: str, *roots: str) -> None:
    """Write the files, and say what is in them."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, topics in levels(dict(root.split("=", 1) for root in roots)):
        write(target / f"{name}.jsonl", topics)
        by_size = Counter(map(len, topics.values()))
        print(name, ", ".join(f"{count} topics of {size}" for size, count in by_size.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
