"""A model of your own: the recurrent model with a layer norm behind its embedding."""

from typing import Annotated, ClassVar

from annotated_types import Gt
from torch import Tensor, nn

from metadialog.models.protocol import BaseModel

Size = Annotated[int, Gt(0)]


class NormalisedGRU(BaseModel):
    """Embedding, layer norm (Ba et al. 2016, arXiv:1607.06450), GRU, and a linear layer to the vocabulary.

    Args:
        vocab_size: number of token ids; the tokenizer says how many there are.
        embedding_size: width of the token embedding.
        hidden_size: width of the recurrent layer.
    """

    # What `algorithm=anil`, `inner.adapted` and `training.frozen` call embeddings, body and head.
    parts: ClassVar = {"embeddings": ("embed.*",), "body": ("norm.*", "rnn.*"), "head": ("linear.*",)}

    def __init__(self, vocab_size: int, *, embedding_size: Size, hidden_size: Size) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.norm = nn.LayerNorm(embedding_size)
        self.rnn = nn.GRU(embedding_size, hidden_size, batch_first=True)
        self.linear = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predict the token after each token, `[batch, time]` to `[batch, time, vocab]`; return the state as well."""
        output, state = self.rnn(self.norm(self.embed(tokens)), state)
        return self.linear(output), state
