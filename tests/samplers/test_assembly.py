from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.samplers.one_by_one import OneByOne

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Batch
from metadialog.samplers.exchanges import ExchangeEncoder, LossOn
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.tokenizers.word import WordTokenizer

BYTES = CharacterTokenizer(vocab_size=261).train([])


def equal(ours: Batch, theirs: Batch) -> bool:
    pairs = [(ours.inputs, theirs.inputs), (ours.targets, theirs.targets), (ours.mask, theirs.mask)]
    pairs.append((ours.words, theirs.words))
    return all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


DIALOGUES = st.lists(
    st.builds(
        Dialogue,
        st.just("t"),
        st.lists(
            st.builds(
                Turn, st.sampled_from("abc"), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
            ),
            min_size=2,
            max_size=6,
        ).map(tuple),
        st.just("t:1"),
    ),
    min_size=1,
    max_size=4,
)


@given(
    dialogues=DIALOGUES,
    context_turns=st.integers(1, 4),
    max_tokens=st.integers(4, 40),
    loss_on=st.sampled_from(["response", "all"]),
)
def test_a_batch_is_what_its_exchanges_make_one_by_one(
    dialogues: list[Dialogue], context_turns: int, max_tokens: int, loss_on: LossOn
) -> None:
    options = (BYTES, context_turns, max_tokens, loss_on)
    assert equal(ExchangeEncoder(*options).batch(dialogues), OneByOne(*options).batch(dialogues))


@pytest.mark.parametrize("loss_on", ["response", "all"])
@pytest.mark.parametrize("trainer", [BytePairTokenizer, CharacterTokenizer, WordTokenizer])
def test_real_batches_are_what_their_exchanges_make_one_by_one(
    trainer: type[BytePairTokenizer | CharacterTokenizer | WordTokenizer],
    loss_on: LossOn,
    topics: Mapping[str, Sequence[Dialogue]],
) -> None:
    texts = [turn.text for found in topics.values() for dialogue in found for turn in dialogue.turns]
    tokenizer = trainer(vocab_size=500).train(texts)
    for max_tokens in (12, 64):
        encoder = ExchangeEncoder(tokenizer, 3, max_tokens, loss_on)
        one_by_one = OneByOne(tokenizer, 3, max_tokens, loss_on)
        for found in topics.values():
            assert equal(encoder.batch(found[:20]), one_by_one.batch(found[:20]))
