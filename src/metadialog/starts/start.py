"""What the outer loop starts from: nothing, joint training, or a run that was trained before.

A meta-learner that starts from a joint-trained model is another row in every table, as it had more to learn from.
"""

from typing import Annotated, ClassVar

from annotated_types import Ge, Le, MinLen

from metadialog.options import FROM_YAML, Options


class Start(Options):
    """What the outer loop starts from.

    Attributes:
        suffix: what it adds to the name of the algorithm in records and tables.
        steps: outer steps of joint training that come first.
        run: directory of the run whose model is taken; None for a model of random weights.
    """

    suffix: ClassVar[str] = ""
    steps: ClassVar[int] = 0
    run: ClassVar[str | None] = None


class Cold(Start):
    """Random weights."""


class Joint(Start):
    """Joint training over all meta-train topics as the first phase of the same run.

    Args:
        steps: outer steps of it, before the algorithm's own.
    """

    suffix = "_warm"

    steps: Annotated[int, Ge(1), Le(10**9)] = FROM_YAML  # type: ignore[misc]


class FromRun(Start):
    """The model that another run has trained, with its weights as they were exported.

    Args:
        run: directory of that run; its model and its tokenizer have to be those of this run.
    """

    suffix = "_warm"

    run: Annotated[str, MinLen(1)] = FROM_YAML  # type: ignore[misc]
