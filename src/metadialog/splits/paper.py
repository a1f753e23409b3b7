"""Splits that papers on a data set use."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Annotated

import yaml
from annotated_types import Ge, Le

from metadialog.errors import ConfigError, DataError
from metadialog.splits.split import TopicSplit

PARTS = ("test", "validation", "train")
"""Order of the parts; a topic that matches several belongs to the first."""

_FOLDER = files("metadialog.splits") / "papers"


class PaperSplit:
    """The packaged split of a data set, from `papers/*.yaml` with its source.

    Such a file lists topics for each part, or patterns of their names (with `*` as wildcard). Topics that are missing
    in the local copy are left out, as long as each part has a topic; topics that are not in the file are unused.
    """

    trains = True

    def __init__(self, *, min_dialogues: Annotated[int, Ge(1), Le(10**9)]) -> None:
        """Set the minimum number of dialogues of a topic."""
        self.min_dialogues = min_dialogues

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:
        """Split the topics like the paper; those with fewer than `min_dialogues` dialogues are dropped.

        Args:
            sizes: number of dialogues of each topic.
            paper: name of the split (`Dataset.paper_split`).

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
    """Return the names of the packaged splits, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _FOLDER.iterdir() if file.name.endswith(".yaml"))


def read_paper_split(name: str | None) -> dict[str, list[str]]:
    """Return a packaged split: the topics of each part, or patterns of their names.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in paper_splits():
        having = sorted({known.split("-")[0] for known in paper_splits()})
        raise ConfigError(
            f"split=paper: there is no paper's split for this data set; there is one for "
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
