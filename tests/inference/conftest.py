"""Fixtures: a few dialogues of one topic."""

import pytest

FOOD = [
    ["what do you eat", "electricity, mostly"],
    ["are you hungry", "always, for electricity"],
    ["what did you have for breakfast", "ten watts of electricity"],
    ["do you like soup", "no, electricity is better"],
    ["what is your favourite dish", "electricity, of course"],
]


@pytest.fixture
def food() -> list[list[str]]:
    """Return five dialogues about food."""
    return [list(turns) for turns in FOOD]
