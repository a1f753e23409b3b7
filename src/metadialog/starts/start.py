"""What the outer loop starts from: nothing, joint training, or a run that was trained before.

A meta-learner that starts from a joint-trained model is another row in every table, as it had more to learn from.
"""

from typing import Annotated

from annotated_types import Ge, MinLen


class Start:
    """What the outer loop starts from.

    Attributes:
        suffix: what it adds to the name of the algorithm in records and tables.
        steps: outer steps of joint training that come first.
        run: directory of the run whose model is taken; None for a model of random weights.
    """

    suffix: str = ""
    steps: int = 0
    run: str | None = None


class Cold(Start):
    """Random weights."""


class Joint(Start):
    """Joint training over all meta-train topics as the first phase of the same run.

    Args:
        steps: outer steps of it, before the algorithm's own.
    """

    suffix = "_warm"

    def __init__(self, *, steps: Annotated[int, Ge(1)]) -> None:
        self.steps = steps


class FromRun(Start):
    """The model that another run has trained, with its weights as they were exported.

    Args:
        run: directory of that run; its model and its tokenizer have to be those of this run.
    """

    suffix = "_warm"

    def __init__(self, *, run: Annotated[str, MinLen(1)]) -> None:
        self.run = run
