"""The calculated cost of training, compared with torch's count of operations."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from metadialog.algorithms.base import Passes, Tools
from metadialog.algorithms.maml_plus_plus import MAMLPlusPlus
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.token_ids import PAD_ID
from metadialog.training.cost import TrainingMeter, count_sets, count_tokens, count_weights, expected_flops, is_counted

PEAK = 5 * 2**20


def model(*, tied: bool = False) -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(30, cell="gru", embedding_size=6, hidden_size=6, layers=2, dropout=0.0, tied_embedding=tied)


def batch(rows: int, time: int) -> Batch:
    ids = torch.randint(1, 30, (rows, time), generator=torch.Generator().manual_seed(rows))
    return Batch(ids, ids, torch.ones_like(ids, dtype=torch.bool), torch.ones(rows, dtype=torch.int64))


@pytest.fixture
def episodes() -> Sequence[Episode]:
    return [Episode("food", 0, batch(3, 5), batch(2, 7), (), ("a",), ("b",)) for _ in range(2)]


@pytest.mark.parametrize("tied", [False, True])
def test_an_embedding_counts_where_tokens_are_multiplied_by_it(*, tied: bool) -> None:
    recurrent = 2 * 3 * (6 * 6 + 6 * 6)
    assert count_weights(model(tied=tied)) == recurrent + 30 * 6


class Linears(nn.Module):
    """A model of matrices only, whose products torch counts completely."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 6)
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 30)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.second(torch.tanh(self.first(self.embed(tokens))))
        return found


def test_the_estimate_is_what_torch_counts(episodes: Sequence[Episode]) -> None:
    """Forward passes are counted exactly, backward passes without the gradient of the first layer's inputs."""
    net = Linears()
    expected = expected_flops(count_weights(net), count_sets(episodes), Passes(1, 0, 1))
    sets = [part for episode in episodes for part in (episode.support, episode.query) if part is not None]
    with FlopCounterMode(display=False) as forward:
        for part in sets:
            net(part.inputs)
    assert expected == 3 * forward.get_total_flops()
    with FlopCounterMode(display=False) as both:
        for part in sets:
            net(part.inputs).sum().backward()
    assert expected == both.get_total_flops()


def test_hessian_vector_products_cost_as_much_again_twice(episodes: Sequence[Episode]) -> None:
    net = Linears()
    support = episodes[0].support
    assert support is not None
    parameters = [value for name, value in net.named_parameters() if not name.startswith("embed")]
    with FlopCounterMode(display=False) as counter:
        loss = net(support.inputs).square().sum()
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        torch.autograd.grad(gradients, parameters, [torch.ones_like(g) for g in gradients])
    tokens, weights = (count_tokens(support), 0), count_weights(net)
    first, both = (expected_flops(weights, tokens, passes) for passes in (Passes(1, 0, 0), Passes(1, 1, 0)))
    assert both == 3 * first
    # Autograd omits products for tensors that need no gradient, here the embeddings.
    assert 0.7 < counter.get_total_flops() / both <= 1


def test_tokens_are_counted_without_padding_and_once_a_pass(episodes: Sequence[Episode]) -> None:
    support = episodes[0].support
    assert support is not None
    inputs = support.inputs.clone()
    inputs[0, 3:] = PAD_ID
    assert count_tokens(replace(support, inputs=inputs)) == 13
    cost = TrainingMeter()
    cost.add(count_sets(episodes), Passes(3, 3, 1), 0.5, PEAK)
    cost.add(count_sets(episodes), Passes(1, 0, 1), 0.25, PEAK // 2)
    assert (cost.steps, cost.seconds) == (2, 0.75)
    assert cost.tokens == (3 * 30 + 28) + (30 + 28)
    assert cost.peak_bytes == PEAK


def test_it_goes_on_from_what_was_kept(episodes: Sequence[Episode]) -> None:
    cost = TrainingMeter()
    cost.add(count_sets(episodes), Passes(1, 0, 1), 1.0, PEAK)
    again = TrainingMeter(**cost.model_dump())
    again.add(count_sets(episodes), Passes(1, 0, 1), 1.0, PEAK)
    assert (again.steps, again.seconds, again.tokens) == (2, 2.0, 2 * 58)


def annealed() -> MAMLPlusPlus:
    """First order for five steps, query losses of all inner steps for ten."""
    return MAMLPlusPlus(
        Tools(Learn2LearnEngine()), inner_lr=0.1, inner_steps=3, multi_step_until=10, first_order_until=5
    )


def test_annealing_is_accounted_for() -> None:
    algorithm = annealed()
    of_phases = [Passes(3, 0, 3)] * 5 + [Passes(3, 3, 3)] * 5 + [Passes(3, 3, 1)] * 2
    assert [algorithm.passes(step) for step in range(12)] == of_phases
    for step, passes in enumerate(of_phases):  # the count equals the executed operations
        loop = algorithm.training_loop(model(), step)
        assert loop.first_order == (passes.hessian_products == 0)
        assert (loop.query_weights is None) == (passes.query == 1)


def test_what_was_counted_is_the_measure_of_what_was_not() -> None:
    cost = TrainingMeter()
    cost.add_flops(10.0, 10.0, 15, restart=True)
    cost.add_flops(20.0, 20.0, None, restart=False)
    assert cost.flops == 15 + 30
    cost.add_flops(8.0, 4.0, 2, restart=True)  # another phase, half of which this process has computed
    cost.add_flops(8.0, 4.0, None, restart=False)
    assert cost.flops == 15 + 30 + 4 + 4


def test_steps_that_go_elsewhere_are_counted() -> None:
    algorithm = annealed()
    assert [step for step in range(40) if is_counted(algorithm, step)] == [0, 1, 5, 10, 16, 32]
