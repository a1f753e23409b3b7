"""`metadialog data`: check a data set and describe it; write nothing."""

from typing import Any

import hydra
from omegaconf import DictConfig
from rich.console import Console

from metadialog.commands.job import run_job
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
    Console().print(render(describe(topics.corpus, topics.split)))


@hydra.main(config_path="pkg://metadialog.conf", config_name="data", version_base="1.3")
def main(config: DictConfig) -> None:
    """Run under Hydra."""
    run_job(config)
