"""Grouping of the dialogues of PersonaChat by persona."""

import pickle
import re
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from io import BytesIO
from itertools import combinations
from typing import Any

from metadialog.datasets.local import read_bytes
from metadialog.errors import DataError

Persona = tuple[str, ...]
"""The sentences of a persona in a dialogue, without full stops."""

SHARED = 2
"""Number of shared sentences that identify a persona; a single one is often shared ("i am a mother")."""


def exact_groups(personas: Sequence[Persona]) -> list[int]:
    """Number personas by their sets of sentences, from 1 in order of appearance."""
    numbers: dict[tuple[str, ...], int] = {}
    return [numbers.setdefault(tuple(sorted(persona)), len(numbers) + 1) for persona in personas]


def shared_groups(personas: Sequence[Persona]) -> list[int]:
    """Number personas such that those that share `SHARED` sentences, directly or transitively, are the same; from 1."""
    parent = list(range(len(personas)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[tuple[str, ...], int] = {}
    for index, persona in enumerate(personas):
        sentences = sorted(set(persona))
        for key in [tuple(sentences), *combinations(sentences, SHARED)]:
            parent[root(index)] = root(first.setdefault(key, index))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers) + 1) for index in range(len(personas))]


def paml_groups(personas: Sequence[Persona], file: Traversable) -> list[int | None]:
    """Number personas by a map of PAML's: a pickle of `{number: [sorted sentences, ...]}`.

    The maps were made for the original PersonaChat, in which there are no contractions ("i am"); ConvAI2 has them
    ("i'm"). Sentences are therefore compared after `spelling`.

    Returns:
        The number of each persona; None if it is not in the map.

    Raises:
        DataError: the file cannot be read, or holds anything else.
    """
    numbers: dict[frozenset[str], int] = {}
    try:
        content = _Plain(BytesIO(read_bytes(file))).load()
        for number, known in content.items():
            for sentences in known:
                numbers[frozenset(map(spelling, map(str, sentences)))] = int(number)
    except DataError:
        raise
    except Exception as error:  # a broken pickle may raise anything
        problem = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: is no map of personas: {problem}; it should be that of PAML's repository") from error
    return [numbers.get(frozenset(map(spelling, persona))) for persona in personas]


def spelling(sentence: str) -> str:
    """Normalise a sentence: without contractions, apostrophes and punctuation."""
    words = " ".join(re.findall(r"[\w']+", sentence.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")))
    for pattern, whole in _CONTRACTIONS:
        words = pattern.sub(whole, words)
    return "".join(words.replace("'", "").split())


_CONTRACTIONS = [
    (re.compile(rf"{short}\b"), whole)
    for short, whole in (
        (r"\bwon't", "will not"),
        (r"\b(?:can't|cannot)", "can not"),
        ("n't", " not"),
        (r"\bi(?:'| )m", "i am"),
        ("(?:'| )ve", " have"),
        ("(?:'| )re", " are"),
        ("(?:'| )ll", " will"),
        ("(?:'| )d", " would"),
        ("(?:'| )s", " is"),
    )
]


class _Plain(pickle.Unpickler):
    """An unpickler for lists, dictionaries, texts and numbers, including numpy's, that calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _scalar
        if (module, name) == ("numpy", "dtype"):
            return _Integers
        raise pickle.UnpicklingError(f"it names {module}.{name}")


class _Integers:
    """Replacement of a `numpy.dtype` of integers, such as `i4`."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch("[iu][1248]", code):
            raise pickle.UnpicklingError(f"it holds numbers of the kind {code!r:.20}")
        self.signed = code[0] == "i"
        self.size = int(code[1])
        self.big = False

    def __setstate__(self, state: Sequence[object]) -> None:
        self.big = state[1] == ">"


def _scalar(kind: object, content: object) -> int:
    """Return a number like `numpy.core.multiarray.scalar`."""
    if not isinstance(kind, _Integers) or not isinstance(content, bytes) or len(content) != kind.size:
        raise pickle.UnpicklingError("it holds a number that is none")
    return int.from_bytes(content, "big" if kind.big else "little", signed=kind.signed)
