"""Every contender computes the same meta-gradient, so that their times are comparable."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from metadialog.benchmark.contenders import CONTENDERS, Name
from metadialog.benchmark.worker import WARM_UP
from metadialog.benchmark.workload import CONFIGURATIONS, Workload, make_workload
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import merge
from metadialog.models.loss import mean_token_loss

EXACT = [name for name in CONTENDERS if name != "gd"]


def workload(steps: int) -> Workload:
    work = make_workload(WARM_UP, steps, torch.device("cpu"))
    return replace(work, model=work.model.double())


def relative_error(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True))


@pytest.mark.filterwarnings("ignore")  # other libraries emit warnings
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", EXACT)
def test_the_meta_gradients_are_one(name: Name, steps: int) -> None:
    if not CONTENDERS[name].available:
        pytest.skip(f"{name} is not installed")
    work = workload(steps)
    expected = Learn2LearnEngine().meta_gradient(work.model, mean_token_loss, work.episodes, work.inner, "mean")
    for _ in range(2):  # the second call must not depend on the first
        assert relative_error(CONTENDERS[name].gradient(work), expected.gradients) < 1e-10


def test_gradient_descent_sees_all_tokens_at_once() -> None:
    work = workload(1)
    sets = [batch for e in work.episodes for batch in (e.support, e.query) if batch is not None]
    assert merge(sets).inputs.numel() == 2 * WARM_UP.tasks * WARM_UP.batch * WARM_UP.time
    mean_token_loss(work.model, merge(sets)).backward()  # type: ignore[no-untyped-call]
    expected = tuple(p.grad for p in work.model.parameters() if p.grad is not None)
    assert relative_error(CONTENDERS["gd"].gradient(work), expected) < 1e-12


def test_workloads_are_the_same_every_time_and_of_the_sizes_that_they_name() -> None:
    one, two = (make_workload(CONFIGURATIONS["small"], 5, torch.device("cpu")) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    assert all(torch.equal(a.query.inputs, b.query.inputs) for a, b in zip(one.episodes, two.episodes, strict=True))
    assert len(one.episodes) == 16
    assert one.episodes[0].query.inputs.shape == (4, 12)
    assert (one.model.linear.out_features, one.model.rnn.hidden_size, one.inner.steps) == (1000, 64, 5)
