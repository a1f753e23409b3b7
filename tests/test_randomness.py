import pytest
import torch
from torch import nn

from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds, derive, drops


def test_a_task_draws_the_same_whoever_came_before() -> None:
    torch.manual_seed(1)
    seeds = TaskSeeds()
    drawn = {}
    for task in (0, 1, 2):
        with seeds.of(task):
            drawn[task] = torch.rand(3).tolist()
    torch.manual_seed(1)
    again = TaskSeeds()
    with again.of(2):
        assert torch.rand(3).tolist() == drawn[2]
    assert len({tuple(values) for values in drawn.values()}) == 3


def test_the_global_generator_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(1)
    seeds = TaskSeeds()
    expected = torch.rand(3).tolist()
    torch.manual_seed(1)
    TaskSeeds()
    with seeds.of(0):
        torch.rand(100)
    assert torch.rand(3).tolist() == expected


def test_another_meta_batch_has_other_seeds() -> None:
    torch.manual_seed(1)
    drawn = []
    for _ in range(2):
        with TaskSeeds().of(0):
            drawn.append(torch.rand(3).tolist())
    assert drawn[0] != drawn[1]


def test_derived_seeds_are_what_torch_takes() -> None:
    found = {derive(seed, number) for seed in (0, 1, 2**63 - 2) for number in range(100)}
    assert len(found) == 300
    assert all(0 <= seed < 2**63 for seed in found)


@pytest.mark.parametrize(("dropout", "layers"), [(0.0, 1), (0.2, 1), (0.2, 2)])
def test_a_model_draws_in_training_if_it_drops_units(dropout: float, layers: int) -> None:
    model = DialogModel(
        9, cell="gru", embedding_size=4, hidden_size=4, layers=layers, dropout=dropout, tied_embedding=False
    )
    assert drops(model.train()) == (dropout > 0)
    assert not drops(model.eval())


def test_dropout_between_recurrent_layers_counts_alone() -> None:
    assert drops(nn.LSTM(2, 2, 2, dropout=0.1).train())
