"""The options of the outer loop."""

from typing import Annotated

from annotated_types import Ge, Gt, Le

from metadialog.options import FROM_YAML, Options
from metadialog.training.not_a_number import Policy


class TrainingOptions(Options):
    """How the outer loop runs, whatever the algorithm.

    Args:
        steps: outer steps.
        meta_batch: tasks in an outer step.
        clip_norm: the gradient is scaled down to this norm; None for no limit.
        validate_every: outer steps between validations, and between checkpoints.
        validation_episodes: episodes of each meta-validation topic.
        patience: validations without a new best before training stops; None to never stop early.
        frozen: parts of the model that neither loop changes; see `metadialog.models.parts.freeze`.
        nan: what becomes of a task whose loss or gradient is no finite number; see `not_a_number.Guard`.
    """

    steps: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    meta_batch: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    clip_norm: Annotated[float, Gt(0), Le(1e9)] | None = FROM_YAML
    validate_every: Annotated[int, Ge(1), Le(10**9)] = FROM_YAML
    validation_episodes: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    patience: Annotated[int, Ge(1), Le(10**9)] | None = FROM_YAML
    frozen: list[str] = FROM_YAML
    nan: Policy = "stop"
