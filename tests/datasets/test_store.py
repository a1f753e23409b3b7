import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets import chunks
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import Corpus, build_corpus, open_store, write_store
from metadialog.datasets.describe import describe
from metadialog.datasets.dialogue import Dataset, Dialogue, Shard, Turn
from metadialog.datasets.dialogues import Dialogues
from metadialog.errors import DataError
from metadialog.splits.seeded import SeededSplit
from metadialog.threads import cores


class Listed:
    """Returns dialogues that are in memory."""

    name = "listed"
    language = "en"
    paper_split: str | None = None

    def __init__(self, dialogues: Iterable[Dialogue]) -> None:
        self._dialogues = list(dialogues)

    def dialogues(self) -> Iterator[Dialogue]:
        yield from self._dialogues


class Halves(Listed):
    """Returns the dialogues in parts, with the process that has read each."""

    def shards(self) -> Sequence[Shard]:
        middle = len(self._dialogues) // 2
        return [partial(read_slice, self._dialogues, part) for part in (slice(middle), slice(middle, None))]


def read_slice(dialogues: list[Dialogue], part: slice) -> Iterator[Dialogue]:
    for dialogue in dialogues[part]:
        yield Dialogue(dialogue.topic, dialogue.turns, f"{dialogue.id}@{os.getpid()}")


def stored(source: Dataset, folder: Path) -> Corpus:
    write_store(source, folder)
    return open_store(folder)


def in_memory(corpus: Corpus) -> Corpus:
    return Corpus(
        corpus.name, {topic: Dialogues.of(list(found)) for topic, found in corpus.topics.items()}, corpus.dropped
    )


def made_up(count: int) -> list[Dialogue]:
    return [
        Dialogue(f"topic {i % 3}", (Turn("a", f"{i % 4000}?"), Turn("b", f"Yes, {i}." * (i % 5))), f"d:{i}")
        for i in range(count)
    ]


def test_real_dialogues_come_back_as_they_would_lie_in_memory(tmp_path: Path) -> None:
    for language in ("english", "chinese"):
        source = ChatterbotDataset(language=language)
        (tmp_path / language).mkdir()
        expected = build_corpus(source.dialogues(), source.name)
        corpus = stored(source, tmp_path / language)
        assert in_memory(corpus) == expected
        assert list(corpus.topics) == list(expected.topics)
        assert corpus.sizes == expected.sizes
        split = SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=10).split(corpus.sizes)
        assert describe(corpus, split) == describe(expected, split)


# Few letters, so that duplicates are frequent; blank and single turns are frequent too.
some_dialogues = st.lists(
    st.builds(
        Dialogue,
        st.sampled_from("abc"),
        st.lists(st.builds(Turn, st.sampled_from("xy"), st.sampled_from(["x", "X", " x", "ß", "SS", " ", "你"]))).map(
            tuple
        ),
        st.uuids().map(str),
    ),
    max_size=12,
)


@given(some_dialogues)
def test_cleaning_is_that_of_a_corpus_in_memory(read: list[Dialogue]) -> None:
    always = Dialogue("z", (Turn("a", "always"), Turn("b", "valid")), "z")
    with TemporaryDirectory() as folder:
        corpus = in_memory(stored(Listed([always, *read]), Path(folder)))
    assert corpus == build_corpus([always, *read], "listed")


def test_other_processes_keep_the_order(tmp_path: Path) -> None:
    dialogues = made_up(chunks.CHUNK * 7 + 5)
    expected = build_corpus(dialogues, "listed")
    assert expected.dropped.short > 0
    assert in_memory(stored(Listed(dialogues), tmp_path)) == expected


@pytest.mark.skipif(cores() == 1, reason="there is one core")
def test_shards_are_read_by_other_processes(tmp_path: Path) -> None:
    dialogues = made_up(chunks.CHUNK * 3)
    corpus = in_memory(stored(Halves(dialogues), tmp_path))
    read = [dialogue for found in corpus.topics.values() for dialogue in found]
    assert {int(dialogue.id.partition("@")[2]) for dialogue in read}.isdisjoint({os.getpid()})
    stripped = [Dialogue(d.topic, d.turns, d.id.partition("@")[0]) for d in read]
    expected = build_corpus(dialogues, "listed")
    assert stripped == [dialogue for found in expected.topics.values() for dialogue in found]


def test_shards_that_cannot_travel_are_read_here(tmp_path: Path) -> None:
    class Stuck(Halves):
        def shards(self) -> Sequence[Shard]:
            return [lambda: iter(self._dialogues)] * 2

    assert in_memory(stored(Stuck(made_up(20)), tmp_path)) == build_corpus(made_up(20), "listed")


def broken(dialogues: list[Dialogue]) -> Iterator[Dialogue]:
    yield from dialogues
    raise DataError("x.json:7: is broken")


class Broken(Halves):
    def shards(self) -> Sequence[Shard]:
        return [*super().shards(), partial(broken, self._dialogues)]


def test_what_is_wrong_with_a_shard_reaches_the_user(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^x\.json:7: is broken$"):
        write_store(Broken(made_up(20)), tmp_path)


def read_or_die(dialogues: list[Dialogue], reader: int) -> Iterator[Dialogue]:
    if os.getpid() != reader:
        os._exit(1)
    yield from dialogues


class Deadly(Halves):
    """Terminates every other process that reads its parts."""

    def shards(self) -> Sequence[Shard]:
        middle = len(self._dialogues) // 2
        parts = (self._dialogues[:middle], self._dialogues[middle:])
        return [partial(read_or_die, part, os.getpid()) for part in parts]


def test_a_process_that_dies_is_done_without(tmp_path: Path) -> None:
    dialogues = made_up(30)
    assert in_memory(stored(Deadly(dialogues), tmp_path)) == build_corpus(dialogues, "listed")


HANGS = """
import sys, time
from pathlib import Path
from metadialog.datasets import chunks
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.dialogues import Dialogues
from metadialog.datasets.corpus import write_store

class Hangs:
    name, language, paper_split = "hangs", "en", None

    def dialogues(self):
        for i in range(chunks.CHUNK * 8):
            yield Dialogue("t", (Turn("a", f"{i}?"), Turn("b", "Yes.")), str(i))
        print("waiting", flush=True)
        time.sleep(120)

chunks.cores = lambda: 3
write_store(Hangs(), Path(sys.argv[1]))
"""


def test_other_processes_end_with_one_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.kill()
        process.communicate(timeout=20)  # ends when no process has the pipe open for writing


def test_picking_reads_in_the_order_of_the_places(tmp_path: Path) -> None:
    corpus = stored(Listed(made_up(1500)), tmp_path)
    found = corpus.topics["topic 1"]
    everything = list(found)
    assert [found[place] for place in range(len(found))] == everything
    assert list(found.pick([7, 3, 380])) == [everything[7], everything[3], everything[380]]
    assert found.pick([7, 3]).ids() == (everything[7].id, everything[3].id)
    assert list(found[10:4:-2]) == everything[10:4:-2]
    assert found[-1] == everything[-1]
    with pytest.raises(IndexError):
        found[len(found)]


@pytest.mark.parametrize("dialogues", [[], made_up(1)])
def test_nothing_left_is_an_error(dialogues: list[Dialogue], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^dataset listed: no dialogue is left of {len(dialogues)} read"):
        write_store(Listed(dialogues), tmp_path)
