"""Few-shot text classification with `meta_gradient`: which of two topics an utterance is from, by a GRU over bytes.

Each task is a pair of topics of chatterbot-corpus, in random order: what the labels mean has to be learned from the
support utterances.

    python examples/few_shot_text.py
"""

import random

import torch
from torch import Tensor, nn

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines import meta_gradient

Labelled = tuple[Tensor, Tensor]  # bytes of the texts, `[texts, time]`, and labels, `[texts]`
TIME = 40


class Classifier(nn.Module):
    """A GRU over bytes; the mean of its states decides."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.linear = nn.Linear(width, 2)

    def forward(self, text: Tensor) -> Tensor:
        """Return the logits of the two topics, `[texts, 2]`."""
        states, _ = self.rnn(self.embed(text))
        return self.linear(states.mean(1))


def loss_of(model: nn.Module, labelled: Labelled) -> Tensor:
    """Return the mean cross-entropy, nats."""
    return nn.functional.cross_entropy(model(labelled[0]), labelled[1])


def tasks_of(
    topics: dict[str, list[str]], count: int, dice: random.Random, shots: int = 4
) -> list[tuple[Labelled, Labelled]]:
    """Draw tasks: two topics, and of each `shots` utterances to adapt to and as many to tell apart."""

    def task() -> tuple[Labelled, Labelled]:
        drawn = [dice.sample(topics[name], 2 * shots) for name in dice.sample(sorted(topics), 2)]
        texts = [[text for of_topic in drawn for text in of_topic[part]] for part in (slice(shots), slice(shots, None))]
        labels = torch.tensor([0] * shots + [1] * shots)
        return (encoded(texts[0]), labels), (encoded(texts[1]), labels)

    return [task() for _ in range(count)]


def encoded(texts: list[str]) -> Tensor:
    """Return the first bytes of texts, `[texts, time]`."""
    rows = [list(text.encode()[:TIME].ljust(TIME)) for text in texts]
    return torch.tensor(rows)


def train(updates: int = 100, *, seed: int = 0) -> list[float]:
    """Return the query loss after three inner steps in each outer step."""
    torch.manual_seed(seed)
    dice = random.Random(seed)  # noqa: S311 - no secret
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics
    topics = {name: [turn.text for dialogue in found for turn in dialogue.turns] for name, found in corpus.items()}
    topics = {name: texts for name, texts in topics.items() if len(texts) >= 20}
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(updates):
        loss, gradients = meta_gradient(model, loss_of, tasks_of(topics, 8, dice), inner_lr=0.5, steps=3)
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name]
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    losses = train()
    print(f"query loss after three inner steps: {losses[0]:.3f} at first, {sum(losses[-10:]) / 10:.3f} at the end")
