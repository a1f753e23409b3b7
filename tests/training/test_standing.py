"""The best validation so far, and the number of validations since."""

import math
from types import SimpleNamespace
from typing import Any

from metadialog.training.trainer import Standing, Trainer


def test_the_first_of_equal_validations_is_the_best_and_nothing_counts_less_than_a_number() -> None:
    """Patience counts validations that are not better; an equal one counts too, or training might never stop."""
    trainer: Any = SimpleNamespace(standing=Standing())
    judged = []
    for step, loss in enumerate([3.0, 2.0, 2.0, math.inf, 2.5, 1.5]):
        trainer.standing.step = step
        judged.append((Trainer._judge(trainer, loss), trainer.standing.best_step, trainer.standing.validations_since))
    assert judged == [(True, 0, 0), (True, 1, 0), (False, 1, 1), (False, 1, 2), (False, 1, 3), (True, 5, 0)]
    assert trainer.standing.best_loss == 1.5
    assert trainer.standing.validated == 5
