"""Measure how far apart the topics of a data set are, by words and by a model that was trained on all of them jointly.

    python experiments/task_diversity/measure.py RUN...

Each RUN is a directory of `row/joint.yaml`, on one of the files that `prepare.py` writes. Of its
held-out topics it prints

- `words`: overlap of the distributions of words of two topics (1 - Jensen-Shannon divergence in bits), mean over pairs;
- `worth`: what the topic tells of its dialogues (nats a word), as `metadialog data` has it, over all topics;
- `transfer`: loss on a topic's dialogues of the model adapted to another topic's, less that of the model adapted to the
  same topic's (nats a token; 5 dialogues, 5 steps), mean over pairs;
- `cosine`: of the gradients of two topics' losses at the joint model, mean over pairs, beside that of two halves of one
  topic (`same`).
"""

import itertools
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np
import numpy.typing as npt
import torch

import metadialog
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.topic_gain import topic_gain
from metadialog.inference.model import AdaptableModel
from metadialog.preparation.topics import prepare_topics
from metadialog.splits.split import TopicSplit
from metadialog.text import fold, words

ADAPTED, SCORED, STEPS = 5, 5, 5

Topics = Mapping[str, Sequence[Dialogue]]


def word_overlap(topics: Topics) -> float:
    """Return 1 - the Jensen-Shannon divergence (bits) of two topics' words, mean over pairs."""
    counts = {
        topic: Counter(fold(word) for d in said for t in d.turns for word in words(t.text))
        for topic, said in topics.items()
    }
    vocabulary = sorted(set().union(*counts.values()))
    shares = [np.array([count[word] for word in vocabulary]) / count.total() for count in counts.values()]
    return mean(1 - _divergence(one, other) for one, other in itertools.combinations(shares, 2))


def _divergence(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    middle = (one + other) / 2
    parts = [p[p > 0] @ np.log2(p[p > 0] / middle[p > 0]) for p in (one, other)]
    return float(sum(parts)) / 2


def transfer(model: AdaptableModel, topics: Topics) -> float:
    """Return how much worse the model of another topic is than that of the same topic."""
    adapted = {topic: model.adapt(said[:ADAPTED], steps=STEPS) for topic, said in topics.items()}
    scored = {topic: said[ADAPTED : ADAPTED + SCORED] for topic, said in topics.items()}
    losses = {(a, b): adapted[a].score(scored[b]).loss for a, b in itertools.product(topics, topics)}
    return mean(losses[a, b] - losses[b, b] for a, b in itertools.permutations(topics, 2))


def gradient(model: AdaptableModel, dialogues: Sequence[Dialogue]) -> torch.Tensor:
    """Return the direction of one step of gradient descent on the dialogues."""
    before, after = model.module.parameters(), model.adapt(dialogues, steps=1).module.parameters()
    step = torch.cat([(new - old).flatten() for old, new in zip(before, after, strict=True)]).detach()
    result: torch.Tensor = step / step.norm()
    return result


def cosines(model: AdaptableModel, topics: Topics) -> tuple[float, float]:
    """Return the mean cosine of the gradients of two topics, and of two halves of one."""
    halves = {
        t: [gradient(model, said[:ADAPTED]), gradient(model, said[ADAPTED : 2 * ADAPTED])] for t, said in topics.items()
    }
    others = [float(halves[a][0] @ halves[b][1]) for a, b in itertools.permutations(topics, 2)]
    return mean(others), mean(float(first @ second) for first, second in halves.values())


def measure(directory: str) -> str:
    """Return a line of the table."""
    run = metadialog.load(directory)
    split = prepare_topics(run.config["dataset"], run.config["split"])
    everything = {name: list(said) for name, said in split.of(_names(split.split)).items()}
    dice = random.Random(0)  # noqa: S311 - no secret
    held_out = {name: dice.sample(everything[name], 2 * ADAPTED) for name in split.split.test}
    gain = topic_gain(split.of(everything))
    different, same = cosines(run.model, held_out)
    worth = float("nan") if gain is None else gain.topic
    overlap, moved = word_overlap(held_out), transfer(run.model, held_out)
    figures = (overlap, worth, moved, different, same)
    return f"| {run.config['dataset']['path']} | {' | '.join(f'{figure:.3f}' for figure in figures)} |"


def _names(split: TopicSplit) -> list[str]:
    return [*split.train, *split.validation, *split.test]


if __name__ == "__main__":
    print("| data | words | worth | transfer | cosine | same |\n|---|---|---|---|---|---|")
    for path in sys.argv[1:]:
        print(measure(path), flush=True)
