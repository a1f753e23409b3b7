"""`metadialog data`: check a data set and describe it; write nothing."""

from typing import Any

from metadialog.commands.console import make_console
from metadialog.datasets.describe import describe, render
from metadialog.training.topics import load_topics

Node = dict[str, Any]


def data(*, dataset: Node, split: Node) -> None:
    """Read a whole data set and print what is in it.

    Args:
        dataset: config node of the data set.
        split: config node of the split of its topics.
    """
    topics = load_topics(dataset, split)
    make_console().print(render(describe(topics.corpus, topics.split)))
