"""Starting points of the outer loop: random weights, joint training, or an earlier run.

A meta-learner that starts from a jointly trained model is a separate row in tables, as it had more training.
"""

from typing import Annotated, ClassVar

from annotated_types import Ge, Le, MinLen

from metadialog.options import FROM_YAML, Options


class Start(Options):
    """A starting point of the outer loop.

    Attributes:
        suffix: suffix of the algorithm's name in records and tables.
        steps: number of outer steps of joint training before the algorithm's.
        run: directory of the run whose model is used; None for random weights.
    """

    suffix: ClassVar[str] = ""
    steps: ClassVar[int] = 0
    run: ClassVar[str | None] = None


class Cold(Start):
    """Random weights."""


class Joint(Start):
    """Joint training over all meta-train topics as the first phase of the same run.

    Args:
        steps: number of its outer steps, before the algorithm's.
    """

    suffix = "_warm"

    steps: Annotated[int, Ge(1), Le(10**9)] = FROM_YAML  # type: ignore[misc]


class FromRun(Start):
    """The exported model of another run.

    Args:
        run: directory of that run; its model and tokenizer must be the same as in this run.
    """

    suffix = "_warm"

    run: Annotated[str, MinLen(1)] = FROM_YAML  # type: ignore[misc]
