"""The one place where learn2learn is imported.

`import learn2learn` pulls in its `gym`, `vision` and `text` parts, which need gym and torchvision. Nothing here
uses them, so empty modules stand in for them while learn2learn is imported; a real part that is already imported
stays.

learn2learn clones a recurrent layer with `Module._apply`, which looks at the `.grad` of the (non-leaf) clones,
and torch warns of that on every clone. The gradient is right all the same (it is checked against finite
differences in the tests), so `quiet_clone` silences this warning, and only this.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

for _part in ("learn2learn.gym", "learn2learn.vision", "learn2learn.text"):
    sys.modules.setdefault(_part, ModuleType(_part))

import learn2learn  # noqa: E402

__all__ = ["learn2learn", "quiet_clone"]


@contextmanager
def quiet_clone() -> Iterator[None]:
    """Silence torch's warning about the `.grad` of a non-leaf tensor while learn2learn clones a module."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor that is not a leaf")
        yield
