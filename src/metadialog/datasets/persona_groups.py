"""Which dialogues of PersonaChat are of the same persona."""

import pickle
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from io import BytesIO
from itertools import combinations
from typing import Any

from metadialog.datasets.local import read_bytes
from metadialog.errors import DataError

Persona = tuple[str, ...]
"""The sentences that a dialogue shows of a persona, without their full stops."""

SHARED = 2
"""Two of a persona's sentences are rarely those of another persona; one often is ("i am a mother")."""


def exact_groups(personas: Sequence[Persona]) -> list[int]:
    """Number personas by their sentences, in whatever order, from 1 in the order of appearance."""
    numbers: dict[tuple[str, ...], int] = {}
    return [numbers.setdefault(tuple(sorted(persona)), len(numbers) + 1) for persona in personas]


def shared_groups(personas: Sequence[Persona]) -> list[int]:
    """Number personas that share `SHARED` sentences, directly or by way of others, alike; from 1."""
    parent = list(range(len(personas)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[str, ...], int] = {}
    for place, persona in enumerate(personas):
        sentences = sorted(set(persona))
        for key in [tuple(sentences), *combinations(sentences, SHARED)]:
            parent[root(place)] = root(first.setdefault(key, place))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(place), len(numbers) + 1) for place in range(len(personas))]


def paml_groups(personas: Sequence[Persona], file: Traversable) -> list[int]:
    """Number personas by a map of PAML's: a pickle of `{number: [sorted sentences, ...]}`.

    As there, a persona that the map does not have is of number 0.

    Raises:
        DataError: the file cannot be read, or holds anything else.
    """
    numbers: dict[tuple[str, ...], int] = {}
    try:
        content = _Plain(BytesIO(read_bytes(file))).load()
        for number, known in content.items():
            for sentences in known:
                numbers[tuple(map(str, sentences))] = int(number)
    except DataError:
        raise
    except Exception as error:  # whatever a broken pickle may lead to
        problem = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: is no map of personas: {problem}; it should be that of PAML's repository") from error
    return [numbers.get(tuple(sorted(persona)), 0) for persona in personas]


class _Plain(pickle.Unpickler):
    """Reads lists, dictionaries, texts and numbers alone: nothing in the file can be called."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        raise pickle.UnpicklingError(f"it names {module}.{name}")
