"""Conversations: the context after a reply was stopped."""

from contextlib import closing

import pytest
from tests.conftest import Export

from metadialog.datasets.dialogue import Turn
from metadialog.inference.conversation import BOT, USER, Conversation
from metadialog.inference.folder import load_model


@pytest.fixture
def talk(export: Export) -> Conversation:
    model = load_model(export())
    return Conversation(model, model, {"name": "sampling", "temperature": 3.0, "max_tokens": 50})


def test_what_a_stopped_reply_said_is_the_answer(talk: Conversation) -> None:
    said = ""
    with closing(talk.answer("hello")) as pieces:
        while not said.strip():
            said += next(pieces)
    assert talk.turns == [Turn(USER, "hello"), Turn(BOT, said)]
    *_, last = talk.answer("and you")
    assert last
    assert [turn.speaker for turn in talk.turns] == [USER, BOT, USER, BOT]


def test_a_turn_without_any_answer_is_taken_back(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(talk.model), "stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(talk.answer("hello"))
    assert talk.turns == []
    assert list(talk.answer("/before")) == ["nothing has been said yet"]


def test_a_reply_without_words_is_shown(talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(talk.model), "stream", lambda *_, **__: iter(()))
    for line in ("hello", "/before"):
        assert list(talk.answer(line)) == ["(no words)"]
