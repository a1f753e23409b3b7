"""The options of the outer loop."""

from typing import Annotated

from annotated_types import Ge, Gt, Le

from metadialog.options import FROM_YAML, Options
from metadialog.training.not_a_number import Policy


class TrainingOptions(Options):
    """Options of the outer loop, independent of the algorithm.

    Args:
        steps: number of outer steps.
        meta_batch: number of tasks in an outer step.
        clip_norm: maximum norm of the gradient; None for no limit.
        validate_every: number of outer steps between validations and checkpoints.
        validation_episodes: number of episodes of each meta-validation topic.
        patience: number of validations without improvement before training stops; None to never stop early.
        frozen: parts of the model that are not trained in either loop; see `metadialog.models.parts.freeze`.
        nan: handling of tasks whose loss or gradient is not finite; see `not_a_number.Guard`.
    """

    steps: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    meta_batch: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    clip_norm: Annotated[float, Gt(0), Le(1e9)] | None = FROM_YAML
    validate_every: Annotated[int, Ge(1), Le(10**9)] = FROM_YAML
    validation_episodes: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    patience: Annotated[int, Ge(1), Le(10**9)] | None = FROM_YAML
    frozen: list[str] = FROM_YAML
    nan: Policy = "stop"
