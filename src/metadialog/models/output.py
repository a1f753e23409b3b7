"""From what a model has made of the past to the logits of the next token."""

from torch import Tensor, nn


class Output(nn.Module):
    """A linear layer to the vocabulary.

    Args:
        width: of what it reads.
        vocab_size: number of token ids.
        tied: the embedding that serves as output weights too (Press and Wolf 2017), or None; where the widths differ, a
            linear layer leads to the embedding's. The embedding's values become those of the output layer.
    """

    def __init__(self, width: int, vocab_size: int, tied: nn.Embedding | None) -> None:
        super().__init__()
        inner = width if tied is None else tied.embedding_dim
        self.project = nn.Identity() if inner == width else nn.Linear(width, inner)
        self.linear = nn.Linear(inner, vocab_size)
        if tied is not None:
            # A unit-normal embedding would make logits far too large: start from the output layer's values.
            tied.weight = self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[..., vocab]` of `[..., width]`."""
        logits: Tensor = self.linear(self.project(x))
        return logits
