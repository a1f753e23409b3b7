"""A check that training changes no state of an algorithm that is missing in checkpoints."""

import io
import pickle
from collections.abc import Iterator

from metadialog.algorithms.base import Algorithm
from metadialog.errors import RunError


class UnsavedState:
    """The attributes of an algorithm that checkpoints do not hold, as they were before training.

    Checkpoints and exported models hold the parameters and buffers of `Algorithm.learned`. If another attribute
    changed, a resumed run and an exported model would silently differ from the run that was not interrupted.

    Args:
        algorithm: the algorithm before its first outer step.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._before = self._contents()

    def check(self) -> None:
        """Check that no such attribute has changed.

        Raises:
            RunError: one has.
        """
        after = self._contents()
        changed = sorted(
            name for name in self._before.keys() | after.keys() if self._before.get(name) != after.get(name)
        )
        if changed:
            raise RunError(
                f"algorithm={self._algorithm.name}: training changes its attribute {', '.join(changed)}, which "
                "checkpoints do not hold: make it a buffer of `learned` (self.learned.register_buffer in `prepare`), "
                "or, if "
                "no result depends on it, name it in the class attribute `caches`"
            )

    def _contents(self) -> dict[str, bytes]:
        algorithm = self._algorithm
        contents = {name: _pickled(value, algorithm) for name, value in _state(algorithm)}
        return {name: content for name, content in contents.items() if content is not None}


def _state(algorithm: Algorithm, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the attributes that checkpoints do not hold, also those of nested algorithms."""
    for name in vars(algorithm).keys() - {"tools", "learned", *algorithm.caches}:
        value = vars(algorithm)[name]
        if isinstance(value, Algorithm):
            yield from _state(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _pickled(value: object, algorithm: Algorithm) -> bytes | None:
    """Return a pickled value without the tools and learned tensors in it; None if it cannot be compared."""
    file = io.BytesIO()
    try:
        _WithoutLearned(file, algorithm).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError, RuntimeError):  # such as an open file or a lambda
        return None
    return file.getvalue()


class _WithoutLearned(pickle.Pickler):
    def __init__(self, file: io.BytesIO, algorithm: Algorithm) -> None:
        super().__init__(file)
        learned = algorithm.learned
        known = [algorithm.tools, *learned.modules(), *learned.parameters(), *learned.buffers()]
        self._known = {id(one) for one in known}

    def persistent_id(self, value: object) -> str | None:
        """Replace what a checkpoint holds by a constant; see `pickle.Pickler`."""
        return "saved" if id(value) in self._known else None
