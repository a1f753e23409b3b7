"""The calculated number of operations of a meta-step."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from metadialog.benchmark.bound import operations, product_rate
from metadialog.benchmark.contenders import learn2learn_loop
from metadialog.benchmark.worker import WARM_UP
from metadialog.benchmark.workload import CONFIGURATIONS, make_workload


@pytest.mark.parametrize("steps", [1, 5])
def test_a_step_costs_a_pass_and_a_hessian_product(steps: int) -> None:
    exact, descent = operations(make_workload(CONFIGURATIONS["small"], steps, torch.device("cpu")))
    assert exact / descent == pytest.approx((9 * steps + 3) / 6)


def test_gradient_descent_counts_every_product() -> None:
    sizes = CONFIGURATIONS["small"]
    _, descent = operations(make_workload(sizes, 1, torch.device("cpu")))
    tokens = 2 * sizes.tasks * sizes.batch * sizes.time
    output = 6 * tokens * sizes.hidden_size * sizes.vocab_size
    recurrent = 2 * 6 * tokens * sizes.hidden_size * 3 * sizes.hidden_size
    # The embedding needs no product, and the derivative with respect to the first states is not needed.
    assert 0.95 * (output + recurrent) < descent <= output + recurrent


@pytest.mark.parametrize("steps", [1, 3])
def test_it_is_what_autograd_multiplies(steps: int) -> None:
    work = make_workload(WARM_UP, steps, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        learn2learn_loop(work)
    exact, _ = operations(work)
    assert counter.get_total_flops() == pytest.approx(exact, rel=0.1)  # the first states are zero: 3 of 4 tokens count


def test_the_rate_is_measured() -> None:
    rates = [product_rate(torch.device("cpu"), sizes=[128, 256], seconds=0.05) for _ in range(2)]
    assert all(1e8 < rate < 1e15 for rate in rates)
