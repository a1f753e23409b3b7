"""The choice of inner rate and steps, compared with the whole grid computed directly."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from metadialog.algorithms.base import Algorithm, Tools
from metadialog.algorithms.baselines import FineTuning, ZeroShot
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Episode
from metadialog.evaluation.protocol import Average
from metadialog.evaluation.selection import NOTHING, Measured, Selection, read_selection, select
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.character import CharacterTokenizer

RATES = (0.5, 1.0, 4.0)


@pytest.fixture(scope="module")
def episodes() -> Sequence[Episode]:
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    encoder = ExchangeEncoder(CharacterTokenizer(vocab_size=261).train([]), 1, 20, "response")
    return held_out_episodes(
        {topic: corpus.topics[topic] for topic in ("food", "movies")},
        Encoders(encoder, encoder),
        shots=[0, 1, 3],
        queries=2,
        episodes_per_topic=2,
        seed=0,
    )


@pytest.fixture
def model() -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(261, cell="gru", embedding_size=8, hidden_size=8, layers=1, dropout=0.5, tied_embedding=False)


def fine_tuning(inner_lr: float = 0.4) -> Algorithm:
    return FineTuning(Tools(Learn2LearnEngine()), name="finetune", inner_lr=inner_lr, inner_steps=1)


@pytest.mark.parametrize("average", ["episodes", "tokens"])
def test_every_point_is_the_mean_query_loss_at_that_rate(
    model: DialogModel, episodes: Sequence[Episode], average: Average
) -> None:
    selection = select(model, fine_tuning(), episodes, RATES, steps=3, average=average)
    assert selection.episodes == 4
    found = {(p.shots, p.rate, p.inner_step): p.loss for p in selection.grid}
    model.eval()
    for shots in (1, 3):
        of_shots = [episode for episode in episodes if episode.shots == shots]
        assert len(of_shots) == 4
        tokens = [int(episode.query.mask.sum()) for episode in of_shots]
        weights = [1, 1, 1, 1] if average == "episodes" else tokens
        for rate in RATES:
            by_hand = fine_tuning(inner_lr=0.4 * rate)
            for step in range(4):
                losses = []
                for episode in of_shots:
                    *_, adapted = by_hand.adapt(model, episode.support, step)
                    losses.append(mean_token_loss(adapted, episode.query).item())
                mean = sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)
                assert found[shots, rate, step] == pytest.approx(mean, rel=1e-5)
    assert {(rate, step) for shots, rate, step in found if shots == 0} == {(rate, 0) for rate in RATES}


def test_the_best_has_the_least_loss_of_its_shots(model: DialogModel, episodes: Sequence[Episode]) -> None:
    selection = select(model, fine_tuning(), episodes, RATES, steps=3)
    for shots in (0, 1, 3):
        best = selection.best(shots)
        assert best is not None
        assert best.loss == min(point.loss for point in selection.grid if point.shots == shots)
        assert selection.rate(shots) == best.rate
    assert selection.best(7) is None
    assert selection.rate(7) == 1
    assert selection.nearest(7) == selection.best(3)
    assert NOTHING.nearest(1) is None


def test_of_equals_the_cheapest_is_chosen_and_never_what_is_no_number() -> None:
    grid = (
        Measured(1, 2.0, 3, 1.5),
        Measured(1, 1.0, 3, 1.5),
        Measured(1, 1.0, 4, 1.5),
        Measured(1, 9.0, 1, float("nan")),
        Measured(1, 9.0, 2, float("inf")),
    )
    assert Selection(grid, 1).best(1) == Measured(1, 1.0, 3, 1.5)
    assert Selection(grid[3:], 1).best(1) is None


def test_what_does_not_adapt_is_chosen_as_it_is(model: DialogModel, episodes: Sequence[Episode]) -> None:
    selection = select(model, ZeroShot(Tools(Learn2LearnEngine()), name="zero_shot"), episodes, RATES, steps=3)
    assert {point.inner_step for point in selection.grid} == {0}
    best = selection.best(3)
    assert best is not None
    assert best.rate == 1.0


def test_it_is_written_and_read_back(model: DialogModel, episodes: Sequence[Episode], tmp_path: Path) -> None:
    selection = select(model, fine_tuning(), episodes, RATES, steps=2, average="tokens")
    path = tmp_path / "selection.json"
    path.write_text(selection.to_json("finetune"))
    assert read_selection(path) == selection
    content = json.loads(path.read_text())
    assert content["algorithm"] == "finetune"
    assert [choice["shots"] for choice in content["chosen"]] == [0, 1, 3]


def test_selecting_leaves_the_model_alone(model: DialogModel, episodes: Sequence[Episode]) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.training
    select(model, fine_tuning(), episodes, RATES, steps=2)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
