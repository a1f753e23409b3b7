"""The split of the topics that papers on a data set use."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Annotated

import yaml
from annotated_types import Ge, Le

from metadialog.errors import ConfigError, DataError
from metadialog.splits.split import TopicSplit

PARTS = ("test", "validation", "train")
"""In this order: a topic that several parts' patterns fit belongs to the first of them."""

_FOLDER = files("metadialog.splits") / "papers"


class PaperSplit:
    """The split that is shipped for a data set, as `papers/*.yaml` with its source.

    Such a file lists topics for each part, or patterns of their names (`*` stands for anything). What the
    local copy has not is left out, so long as each part has a topic; topics that the paper does not place
    are unused.
    """

    trains = True

    def __init__(self, *, min_dialogues: Annotated[int, Ge(1), Le(10**9)]) -> None:
        """Set how many dialogues a topic needs."""
        self.min_dialogues = min_dialogues

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:
        """Split the topics as the paper does; those with fewer than `min_dialogues` dialogues are dropped.

        Args:
            sizes: number of dialogues of each topic.
            paper: the name of the split, which the data set gives (`Dataset.paper_split`).

        Raises:
            ConfigError: there is no such split for the data set.
            DataError: a part has no topic with enough dialogues.
        """
        lists = read_paper_split(paper)
        placed = {topic: _part(topic, lists) for topic in sorted(sizes)}
        enough = {topic: part for topic, part in placed.items() if part and sizes[topic] >= self.min_dialogues}
        for part in PARTS:
            if part not in enough.values():
                raise DataError(
                    f"split=paper ({paper}): no topic for {part} has {self.min_dialogues} dialogues or more here; it "
                    f"should be one of {', '.join(lists[part])}: lower split.min_dialogues, complete dataset.root, "
                    f"or choose split=seeded"
                )
        return TopicSplit(
            train=_of("train", enough),
            validation=_of("validation", enough),
            test=_of("test", enough),
            dropped={topic: sizes[topic] for topic, part in placed.items() if part and topic not in enough},
            unused=tuple(topic for topic, part in placed.items() if part is None),
        )


def paper_splits() -> list[str]:
    """Return the names of the splits that are shipped, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))


def read_paper_split(name: str | None) -> dict[str, list[str]]:
    """Return a shipped split: the topics, or patterns of their names, of each part.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in paper_splits():
        having = sorted({known.split("-")[0] for known in paper_splits()})
        raise ConfigError(
            f"split=paper: no paper's split of the topics of this data set is known; there is one for "
            f"{', '.join(f'dataset={dataset}' for dataset in having)}: choose split=seeded or split=explicit"
        )
    content = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return {part: list(content[part]) for part in PARTS}


def _part(topic: str, lists: Mapping[str, Sequence[str]]) -> str | None:
    for part in PARTS:
        if any(fnmatchcase(topic, pattern) for pattern in lists[part]):
            return part
    return None


def _of(part: str, placed: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(topic for topic, its_part in placed.items() if its_part == part)
