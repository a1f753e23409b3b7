"""Adaptation whose curve is followed while it runs."""

import pytest
from tests.conftest import Export

from metadialog.errors import DataError
from metadialog.inference.adapting import AdaptingAside, Division, advice, curve_line, divide
from metadialog.inference.dialogues import as_dialogues
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import CurvePoint


@pytest.fixture
def model(export: Export) -> AdaptableModel:
    return load_model(export("algorithm=finetune"))


def test_its_points_come_as_they_are_made_and_the_model_is_that_of_adapt(
    model: AdaptableModel, food: list[list[str]]
) -> None:
    division = divide(as_dialogues(food), 1, 0)
    aside = AdaptingAside(model, division)
    points = list(aside)
    expected = model.adapt(division.support, held_out=division.held_out)
    assert tuple(points) == expected.curve
    assert aside.adapted().reply("hello") == expected.reply("hello")


def test_who_stops_to_listen_ends_it(model: AdaptableModel, food: list[list[str]]) -> None:
    aside = AdaptingAside(model, Division(as_dialogues(food)[1:], as_dialogues(food)[:1], 0))
    points = iter(aside)
    assert next(points).step == 0
    points.close()  # type: ignore[attr-defined]
    assert not aside._thread.is_alive()
    with pytest.raises(InterruptedError):
        aside.adapted()


def test_what_goes_wrong_is_raised_where_the_model_is_asked_for(model: AdaptableModel) -> None:
    aside = AdaptingAside(model, Division(as_dialogues([["alone"]]), [], 0))
    assert list(aside) == []
    with pytest.raises(DataError, match="no dialogue to adapt to"):
        aside.adapted()


def test_a_bar_is_as_long_as_the_loss_is_large_whatever_it_is() -> None:
    first = CurvePoint(0, 4.0)
    lengths = [curve_line(CurvePoint(1, loss), first).count("█") for loss in (4.0, 2.0, 0.0, 40.0)]
    assert lengths == [32, 16, 0, 64]
    for loss in (float("nan"), float("inf")):
        assert curve_line(CurvePoint(1, loss), first).count("█") == 64


def test_advice_is_given_where_the_loss_rises_or_still_falls(model: AdaptableModel) -> None:
    talk = [["are you hungry", "no"]] * 4
    assert advice(model.adapt(talk, 50, rate=0.001)) == (
        "the loss still falls after 50 steps: a larger rate, such as rate=0.003, may do better"
    )
    worse = advice(model.adapt(talk, 2, held_out=[["what", "quite cold and wet, I am afraid"]], rate=300))
    assert worse is not None
    assert worse.startswith("the loss is higher than before: a smaller rate, such as rate=1e+02,")
    assert advice(model.adapt(talk, 3)) is None
