"""The dialogue model: an embedding, a recurrent layer and a linear layer to the vocabulary."""

from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from metadialog.models.protocol import BaseModel, at_positions
from metadialog.models.recurrence import CELLS, Cell, Hidden, State, recurrent, run
from metadialog.options import FROM_YAML, with_defaults

_OWN_LAYERS = (nn.Embedding, *CELLS.values(), nn.Dropout, nn.Identity, nn.Linear)


class DialogModel(BaseModel):
    """A recurrent language model over the tokens of a dialogue.

    Args:
        vocab_size: number of token ids.
        cell: type of the recurrent layer: Elman (tanh), GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber
            1997).
        embedding_size: width of the token embedding.
        hidden_size: width of the recurrent layers.
        layers: number of stacked recurrent layers.
        dropout: probability of dropping a unit of the embedding, between layers, and of the last layer's output.
        tied_embedding: use the embedding also as output weights (Press and Wolf 2017); if the widths differ, a linear
            layer maps the hidden to the embedding width.
    """

    parts: ClassVar = {"embeddings": ("embed.*",), "body": ("rnn.*",), "head": ("project.*", "linear.*")}
    time_major_dropout: ClassVar = frozenset({1})  # the recurrent layer's outputs have time first in memory

    @with_defaults
    def __init__(
        self,
        vocab_size: int,
        hidden_size: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
        *,
        cell: Cell = FROM_YAML,
        embedding_size: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
        layers: Annotated[int, Gt(0), Le(1000)] = FROM_YAML,
        dropout: Annotated[float, Ge(0), Lt(1)] = FROM_YAML,
        tied_embedding: bool = FROM_YAML,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.rnn = recurrent(cell, embedding_size, hidden_size, layers, dropout)
        self.drop = nn.Dropout(dropout)
        tied_width = embedding_size if tied_embedding else hidden_size
        self.project = nn.Identity() if tied_width == hidden_size else nn.Linear(hidden_size, tied_width)
        self.linear = nn.Linear(tied_width, vocab_size)
        if tied_embedding:
            # A unit-normal embedding would give far too large logits, so it is initialised like an output layer.
            self.embed.weight = self.linear.weight

    @property
    def reads_at_once(self) -> bool:
        """Whether `forward` is not overridden; see `BaseModel.reads_at_once`."""
        return type(self).forward is DialogModel.forward

    @property
    def obstacle(self) -> str | None:
        """The part of this model that differs from its class; see `BaseModel.obstacle`."""
        if type(self).forward is not DialogModel.forward:
            return super().obstacle
        for layer in self.children():
            if type(layer) not in _OWN_LAYERS:
                return f"a model with {type(layer).__name__}"
        return None

    def forward(self, tokens: Tensor, hidden: Hidden | None = None, at: Tensor | None = None) -> tuple[Tensor, Hidden]:
        """Predict the token after each token.

        Args:
            tokens: token ids, int64, `[batch, time]`.
            hidden: previous state; None at the beginning.
            at: positions in `batch * time` after which to predict, `[positions]`; None for all.

        Returns:
            Logits `[batch, time, vocab]`, or `[positions, vocab]`, and the state after the last token.
        """
        x = self.drop(self.embed(tokens))  # [batch, time, embedding]
        x, hidden = self.rnn(x, hidden)  # [batch, time, hidden], [layers, batch, hidden]
        x = self.project(at_positions(self.drop(x), at))  # [batch, time, hidden], or [..., embedding] if tied
        return self.linear(x), hidden  # [batch, time, vocab]

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts in one pass; see `DialogueModel.read`."""
        if type(self).forward is not DialogModel.forward:
            return super().read(tokens, lengths, state)
        begun = cast("Hidden | None", state)
        if begun is None:
            nothing = self.embed(tokens[:, 0]).new_zeros(self.rnn.num_layers, len(tokens), self.rnn.hidden_size)
            begun = (nothing, nothing) if isinstance(self.rnn, nn.LSTM) else nothing
        x, after = run(self.rnn, self.drop(self.embed(tokens)), lengths, begun)
        ends = x[torch.arange(len(tokens), device=tokens.device), lengths - 1]  # [batch, hidden]
        return self.linear(self.project(self.drop(ends))), after
