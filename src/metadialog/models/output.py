"""The output layer of models."""

from torch import Tensor, nn


class Output(nn.Module):
    """A linear layer to the vocabulary.

    Args:
        width: width of its input.
        vocab_size: number of token ids.
        tied: embedding that is also used as output weights (Press and Wolf 2017), or None; if the widths differ, a
            linear layer maps to the embedding's. The embedding is re-initialised like an output layer.
    """

    def __init__(self, width: int, vocab_size: int, tied: nn.Embedding | None) -> None:
        super().__init__()
        inner = width if tied is None else tied.embedding_dim
        self.project = nn.Identity() if inner == width else nn.Linear(width, inner)
        self.linear = nn.Linear(inner, vocab_size)
        if tied is not None:
            # A unit-normal embedding would give far too large logits, so it is initialised like an output layer.
            tied.weight = self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[..., vocab]` of `[..., width]`."""
        logits: Tensor = self.linear(self.project(x))
        return logits
