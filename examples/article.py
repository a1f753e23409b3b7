"""The two-level update of MAML, `train_maml(model, tasks, alpha, beta, num_updates)`, on two Chinese topics.

The inner step descends on a task's training samples; the outer step descends on the loss of its test samples after that
step, summed over the tasks, by the gradient with respect to the parameters before it: Finn et al. 2017
(arXiv:1703.03400), algorithm 1.

    python examples/article.py
"""

import torch
from torch import Tensor, nn

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines import meta_gradient

Sample = tuple[Tensor, Tensor]  # tokens and the next token of each, `[batch, time]`


class DialogModel(nn.Module):
    """Embedding, recurrent layer, linear layer to the vocabulary."""

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.rnn = nn.RNN(hidden_size, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of each next token, `[batch, time, vocab]`."""
        states, _ = self.rnn(self.embed(tokens))
        return self.linear(states)


def loss_of(model: nn.Module, sample: Sample) -> Tensor:
    """Return the mean cross-entropy of the next tokens, nats; 0 is padding and does not count."""
    tokens, targets = sample
    return nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=0)


def train_maml(
    model: nn.Module, tasks: list[tuple[Sample, Sample]], alpha: float, beta: float, num_updates: int
) -> list[float]:
    """Take `num_updates` outer steps with rate beta, each through one inner step with rate alpha; return the losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=beta)
    losses = []
    for _ in range(num_updates):
        loss, gradients = meta_gradient(model, loss_of, tasks, inner_lr=alpha, steps=1, reduction="sum")
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name]
        optimizer.step()
        losses.append(loss.item() / len(tasks))
    return losses


def chinese_tasks(
    names: tuple[str, ...] = ("food", "sports"), samples: int = 4
) -> tuple[list[tuple[Sample, Sample]], int]:
    """Return each topic's training and test samples, and the size of the vocabulary of characters."""
    topics = build_corpus(ChatterbotDataset(language="chinese").dialogues(), "chatterbot").topics
    texts = {name: ["\n".join(turn.text for turn in dialogue.turns) for dialogue in topics[name]] for name in names}
    ids = {
        character: place for place, character in enumerate(sorted({c for t in texts.values() for c in "".join(t)}), 1)
    }

    def sample(some: list[str]) -> Sample:
        rows = [torch.tensor([ids[character] for character in text]) for text in some]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return padded[:, :-1], padded[:, 1:]

    return [(sample(of[:samples]), sample(of[samples : 2 * samples])) for of in texts.values()], len(ids) + 1


if __name__ == "__main__":
    torch.manual_seed(0)
    tasks, vocab_size = chinese_tasks()
    model = DialogModel(vocab_size, hidden_size=32)
    losses = train_maml(model, tasks, alpha=0.5, beta=0.5, num_updates=100)
    print(f"loss after one inner step: {losses[0]:.3f} at first, {losses[-1]:.3f} after {len(losses)} updates")
