import pytest
import torch

from metadialog.errors import ConfigError
from metadialog.models.parts import select
from metadialog.models.rnn import DialogModel


def make(*, tied: bool = False) -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(9, cell="gru", embedding_size=3, hidden_size=4, layers=1, dropout=0.0, tied_embedding=tied)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["head"], {"linear.weight", "linear.bias"}),
        (["embeddings"], {"embed.weight"}),
        (["rnn.bias_*", "head"], {"rnn.bias_ih_l0", "rnn.bias_hh_l0", "linear.weight", "linear.bias"}),
        ([], set()),
    ],
)
def test_parts_and_patterns(wanted: list[str], expected: set[str]) -> None:
    assert select(make(), wanted, "inner.adapted") == expected


def test_the_parts_together_are_the_model() -> None:
    for tied in (False, True):
        model = make(tied=tied)
        names = {name for name, _ in model.named_parameters()}
        assert select(model, ["embeddings", "body", "head"], "inner.adapted") == names
        assert select(model, ["*"], "inner.adapted") == names


def test_a_tied_embedding_is_in_both_parts() -> None:
    model = make(tied=True)
    assert "embed.weight" in select(model, ["head"], "inner.adapted")
    assert select(model, ["embeddings"], "inner.adapted") == {"embed.weight"}


def test_what_matches_nothing_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"inner\.adapted: 'haed' is not a part .*head.*matches none.*linear\.bias"):
        select(make(), ["haed"], "inner.adapted")
