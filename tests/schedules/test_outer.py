import math
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import LRScheduler

from metadialog.config import build, plain

FOLDER = Path(__file__).parents[2] / "conf" / "schedule"
LR = 0.4


def schedule(choice: str, steps: int, **options: object) -> LRScheduler:
    config = plain(OmegaConf.load(FOLDER / f"{choice}.yaml"))  # type: ignore[arg-type]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    made: LRScheduler = build({**config, **options}, optimizer, steps)
    return made


def rates(made: LRScheduler, steps: int) -> list[float]:
    """Return the learning rate of each outer step, relative to the maximum."""
    found: list[float] = []
    for _ in range(steps):
        found.append(made.optimizer.param_groups[0]["lr"] / LR)
        made.optimizer.step()
        made.step()
    return found


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("linear", [1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", [0.2 + 0.8 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(5)]),
    ],
)
def test_from_the_first_step_to_the_last(choice: str, expected: list[float]) -> None:
    options: dict[str, Any] = {} if choice == "constant" else {"final_fraction": 0.2}
    assert rates(schedule(choice, 5, **options), 5) == pytest.approx(expected)


@pytest.mark.parametrize("choice", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_choice_warms_up_in_a_line_and_never_from_zero(choice: str) -> None:
    found = rates(schedule(choice, 10, warmup_steps=3), 10)
    assert found[:4] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1])
    assert found[-1] == pytest.approx(1 if choice == "constant" else 0, abs=1e-12)


@pytest.mark.parametrize("choice", sorted(path.stem for path in FOLDER.glob("*.yaml")))
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_runs_have_a_schedule_too(choice: str, steps: int) -> None:
    assert rates(schedule(choice, steps), steps)[:1] == [1.0][:steps]


def test_it_goes_on_where_it_was() -> None:
    whole = rates(schedule("cosine", 6), 6)
    first = schedule("cosine", 6)
    start = rates(first, 3)
    second = schedule("cosine", 6)
    second.load_state_dict(first.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert start + rates(second, 3) == pytest.approx(whole)
