from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.samplers.one_by_one import OneByOne, collate

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch
from metadialog.errors import DataError
from metadialog.samplers.exchanges import ExchangeEncoder, LossOn
from metadialog.text import words
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

PAD, BEGIN, END, SELF, OTHER = range(5)
BYTES = CharacterTokenizer(vocab_size=261).train([])
TALK = Dialogue("t", (Turn("ann", "hi"), Turn("bob", "oh no"), Turn("cy", "so"), Turn("ann", "a b c")), "t:1")


def ids(text: str) -> list[int]:
    return [5 + byte for byte in text.encode()]


def encoder(context_turns: int = 3, max_tokens: int = 64, loss_on: LossOn = "response") -> ExchangeEncoder:
    return ExchangeEncoder(BYTES, context_turns, max_tokens, loss_on)


def one_by_one(context_turns: int = 3, max_tokens: int = 64, loss_on: LossOn = "response") -> OneByOne:
    return OneByOne(BYTES, context_turns, max_tokens, loss_on)


def test_each_turn_but_the_first_answers_the_turns_before_it() -> None:
    sequences = [list(exchange.ids) for exchange in one_by_one().encode(TALK)]
    assert sequences == [
        [BEGIN, OTHER, *ids("hi"), SELF, *ids("oh no"), END],
        [BEGIN, OTHER, *ids("hi"), OTHER, *ids("oh no"), SELF, *ids("so"), END],
        [BEGIN, SELF, *ids("hi"), OTHER, *ids("oh no"), OTHER, *ids("so"), SELF, *ids("a b c"), END],
    ]


def test_the_context_has_the_last_turns_only() -> None:
    last = one_by_one(context_turns=2).encode(TALK)[-1]
    assert list(last.ids) == [BEGIN, OTHER, *ids("oh no"), OTHER, *ids("so"), SELF, *ids("a b c"), END]
    assert last.exchange.context == "bob: oh no\ncy: so"
    assert last.exchange.response == "a b c"
    assert list(last.exchange.prompt) == [BEGIN, OTHER, *ids("oh no"), OTHER, *ids("so"), SELF]


def test_the_context_has_one_line_a_turn() -> None:
    talk = Dialogue("t", (Turn("ann", "one\ntwo"), Turn("bob", "x\ny")), "t:2")
    (exchange,) = encoder().exchanges([talk])
    assert (exchange.context, exchange.response) == ("ann: one two", "x\ny")


def test_the_mask_counts_the_response_and_its_end() -> None:
    batch = encoder().batch([TALK])
    assert counted(batch) == [[*ids("oh no"), END], [*ids("so"), END], [*ids("a b c"), END]]
    assert batch.words.tolist() == [2, 1, 3]


def test_the_mask_counts_all_but_begin_and_padding() -> None:
    batch = encoder(loss_on="all").batch([TALK])
    whole = [list(exchange.ids[1:]) for exchange in one_by_one().encode(TALK)]
    assert counted(batch) == whole
    assert batch.words.tolist() == [1 + 2, 1 + 2 + 1, 1 + 2 + 1 + 3]


def test_inputs_are_one_behind_targets_and_padded_on_the_right() -> None:
    exchanges = one_by_one().encode(TALK)
    batch = collate(exchanges)
    longest = max(len(exchange.ids) for exchange in exchanges) - 1
    assert batch.inputs.shape == batch.targets.shape == batch.mask.shape == (3, longest)
    assert batch.words.shape == (3,)
    assert {batch.inputs.dtype, batch.targets.dtype, batch.words.dtype} == {torch.int64}
    assert batch.mask.dtype == torch.bool
    for row, exchange in enumerate(exchanges):
        length = len(exchange.ids) - 1
        assert batch.inputs[row].tolist()[:length] == list(exchange.ids[:-1])
        assert batch.targets[row].tolist()[:length] == list(exchange.ids[1:])
        assert not batch.targets[row, length:].any()
        assert not batch.inputs[row, length + 1 :].any()
        assert not batch.mask[row, length:].any()


@pytest.mark.parametrize(
    ("max_tokens", "context", "response", "counted_words"),
    [
        # The whole prompt of the last exchange has 14 tokens, its response with <end> 6.
        (14, [SELF, *ids("hi"), OTHER, *ids("oh no"), OTHER, *ids("so")], [*ids("a b c"), END], 3),
        (13, [*ids("hi"), OTHER, *ids("oh no"), OTHER, *ids("so")], [*ids("a b c"), END], 3),
        (6, [*ids("o"), OTHER, *ids("so")], [*ids("a b c"), END], 3),
        (5, [OTHER, *ids("so")], ids("a b c"), 3),
        (4, ids("so"), ids("a b "), 2),
    ],
)
def test_the_cap_takes_the_oldest_of_the_context_and_the_end_of_the_response(
    max_tokens: int, context: list[int], response: list[int], counted_words: int
) -> None:
    last = one_by_one(max_tokens=max_tokens).encode(TALK)[-1]
    assert list(last.ids) == [BEGIN, *context, SELF, *response]
    assert last.words == counted_words
    assert last.exchange.prompt == last.ids[: last.counted_from]


def test_the_words_of_a_cut_context_are_those_that_are_left() -> None:
    last = one_by_one(max_tokens=7, loss_on="all").encode(TALK)[-1]
    assert list(last.ids) == [BEGIN, *ids("no"), OTHER, *ids("so"), SELF, *ids("a b c"), END]
    assert last.words == 1 + 1 + 3


def test_the_prompt_does_not_know_how_long_the_reference_is() -> None:
    for reply in ("y", "y" * 50):
        talk = Dialogue("t", (Turn("a", "0123456789"), Turn("b", reply)), "t:3")
        (exchange,) = encoder(max_tokens=8).exchanges([talk])
        assert list(exchange.prompt) == [BEGIN, *ids("456789"), SELF]
        assert exchange.response == reply


def test_a_dialogue_of_one_turn_is_refused() -> None:
    with pytest.raises(DataError, match=r"^dialogue f\.jsonl:7: has no response; it should have 2 turns$"):
        encoder().exchanges([Dialogue("t", (Turn("a", "hi"),), "f.jsonl:7")])


def test_a_dialogue_is_tokenized_once() -> None:
    calls: list[str] = []

    class Counting(Tokenizer):
        def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
            calls.extend(texts)
            return super().encode_batch(texts)

    counting = ExchangeEncoder(Counting(BYTES._backend), 1, 64, "response")
    batch, texts = counting.batch_and_texts(Dialogues.of([TALK]))
    assert texts == counting.exchanges([TALK])
    assert [exchange.prompt for exchange in texts] == batch.prompts()
    assert calls == [turn.text for turn in TALK.turns]


TURNS = st.lists(
    st.builds(Turn, st.sampled_from("abc"), st.text(st.characters(exclude_categories=["Cs"]), max_size=12)),
    min_size=2,
    max_size=6,
)


@given(turns=TURNS, context_turns=st.integers(1, 4), max_tokens=st.integers(4, 40))
def test_caps_masks_and_words_hold_for_every_dialogue(turns: list[Turn], context_turns: int, max_tokens: int) -> None:
    talk = Dialogue("t", tuple(turns), "t:4")
    exchanges = one_by_one(context_turns, max_tokens).encode(talk)
    texts = encoder(context_turns, max_tokens).exchanges([talk])
    assert texts == [exchange.exchange for exchange in exchanges]
    batch = collate(exchanges)
    assert len(exchanges) == len(turns) - 1
    assert all(exchange.counted_from <= max_tokens for exchange in exchanges)
    for turn, exchange, tokens in zip(turns[1:], exchanges, counted(batch), strict=True):
        assert exchange.ids[0] == BEGIN
        assert exchange.ids[exchange.counted_from - 1] == SELF
        assert tokens == [*ids(turn.text), END][:max_tokens]
        assert exchange.exchange.prompt == exchange.ids[: exchange.counted_from]
        if END in tokens:
            assert exchange.words == len(words(turn.text))
        else:
            assert exchange.words == len(words(BYTES.decode(tokens)))


def test_real_dialogues_keep_their_responses_and_words(topics: Mapping[str, Sequence[Dialogue]]) -> None:
    texts = [turn.text for dialogue in topics["ai"] for turn in dialogue.turns]
    tokenizer = BytePairTokenizer(vocab_size=400).train(texts)
    long_enough = OneByOne(tokenizer, 3, 1000, "response")
    encoder = ExchangeEncoder(tokenizer, 3, 1000, "response")
    for dialogue in topics["ai"]:
        assert encoder.exchanges([dialogue]) == [exchange.exchange for exchange in long_enough.encode(dialogue)]
        for turn, exchange in zip(dialogue.turns[1:], long_enough.encode(dialogue), strict=True):
            assert tokenizer.decode(exchange.ids[exchange.counted_from :]) == turn.text
            assert exchange.words == len(words(turn.text))
            assert exchange.exchange.prompt == exchange.ids[: exchange.counted_from]


def counted(batch: Batch) -> list[list[int]]:
    return [target[mask].tolist() for target, mask in zip(batch.targets, batch.mask, strict=True)]
