"""Each algorithm learns a family of synthetic tasks.

In a topic the reply is always the same two words, whatever the context: six words make 36 topics. Topics differ in
nothing else, so a new topic cannot be predicted without its dialogues, and one of its dialogues is enough.
"""

import math
import random
from collections.abc import Callable

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Batch, Episode
from metadialog.evaluation.adaptation import validation_losses
from metadialog.models.rnn import DialogModel
from metadialog.token_ids import OTHER_ID, SELF_ID

Make = Callable[..., Algorithm]
BEGIN, END = 1, 2
WORDS = range(5, 11)
SHOTS, QUERIES = 2, 3
PAIRS = [(one, two) for one in WORDS for two in WORDS]
random.Random(0).shuffle(PAIRS)
TRAIN, HELD_OUT = PAIRS[:28], PAIRS[28:]
KNOWING_NOTHING = 2 * math.log(len(WORDS)) / 3
"""Loss of chance, in nats per token, for two words and the end."""


def batch(pair: tuple[int, int], size: int, dice: random.Random) -> Batch:
    rows = torch.tensor([[BEGIN, OTHER_ID, dice.choice(WORDS), SELF_ID, *pair, END] for _ in range(size)])
    mask = torch.zeros(size, rows.shape[1] - 1, dtype=torch.bool)
    mask[:, 3:] = True
    return Batch(rows[:, :-1], rows[:, 1:], mask, torch.full((size,), 2))


def episode(pair: tuple[int, int], index: int, dice: random.Random) -> Episode:
    names = tuple(map(str, range(SHOTS)))
    support, query, others = batch(pair, SHOTS, dice), batch(pair, QUERIES, dice), batch(pair, 8, dice)
    return Episode(str(pair), index, support, query, (), names, ("q",), others=lambda: others)


def learn(algorithm: Algorithm, steps: int, lr: float) -> tuple[float, float]:
    """Train on some topics; return the mean loss on the others before and after adaptation, nats per token."""
    torch.manual_seed(0)
    dice = random.Random(1)
    bare = DialogModel(11, cell="gru", embedding_size=8, hidden_size=16, layers=1, dropout=0.0, tied_embedding=False)
    model = algorithm.prepare(bare).double()
    algorithm.learned.double()
    optimizer = torch.optim.Adam([*model.parameters(), *algorithm.learned.parameters()], lr)
    for step in range(steps if algorithm.trains else 0):
        optimizer.zero_grad()
        algorithm.outer_step(model, [episode(dice.choice(TRAIN), task, dice) for task in range(4)], step)
        optimizer.step()
    losses = validation_losses(model, algorithm, [episode(pair, 0, dice) for pair in HELD_OUT])
    before, after = zip(*losses, strict=True)
    return sum(before) / len(before), sum(after) / len(after)


OPTIONS = {"inner_lr": 0.5, "inner_steps": 3}
META_LEARNERS = {
    "maml": 100,
    "fomaml": 100,
    "anil": 100,
    "reptile": 100,
    "meta_sgd": 100,
    "maml_plus_plus": 100,
    "meta_curvature": 60,
    "low_rank": 60,
    "alfa": 100,
}
"""After these outer steps, the loss is far below that of joint training."""
JOINT = 0.2
"""The loss is lower than that of joint training and fine-tuning after as many steps, 0.26."""


@pytest.mark.parametrize("name", META_LEARNERS)
def test_a_meta_learner_learns_to_learn_what_joint_training_cannot(make_algorithm: Make, name: str) -> None:
    before, after = learn(make_algorithm(name, engine="auto", **OPTIONS), META_LEARNERS[name], 0.01)
    assert before > KNOWING_NOTHING
    assert after < JOINT


def test_a_context_vector_learns_the_topic_too(make_algorithm: Make) -> None:
    """Takes more steps, as it adapts only a vector that is added to the embedding."""
    before, after = learn(make_algorithm("cavia", engine="auto", inner_lr=1.0, inner_steps=3), 200, 0.005)
    assert before > KNOWING_NOTHING
    assert after < KNOWING_NOTHING - 0.1


@pytest.mark.parametrize("name", ["finetune", "finetune_head", "oracle"])
def test_fine_tuning_learns_the_topic_but_less_well(make_algorithm: Make, name: str) -> None:
    before, after = learn(make_algorithm(name, engine="auto", **OPTIONS), 120, 0.01)
    assert before > KNOWING_NOTHING
    assert JOINT < after < KNOWING_NOTHING / 2


def test_from_scratch_there_is_much_to_learn(make_algorithm: Make) -> None:
    before, after = learn(make_algorithm("scratch", engine="auto", **OPTIONS), 120, 0.01)
    assert before == pytest.approx(math.log(11), rel=0.1)  # chance level over the whole vocabulary
    assert KNOWING_NOTHING < after < before - 0.5


@pytest.mark.parametrize("name", ["zero_shot", "retrieval"])
def test_what_does_not_adapt_knows_nothing_of_a_new_topic(make_algorithm: Make, name: str) -> None:
    before, after = learn(make_algorithm(name, engine="auto"), 120, 0.01)
    assert before == after > KNOWING_NOTHING
