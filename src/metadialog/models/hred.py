"""The hierarchical recurrent encoder-decoder."""

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from metadialog.models.output import Output
from metadialog.models.protocol import at_positions
from metadialog.models.recurrence import Bridge, Cell, Hidden, map_hidden, recurrent, run, top
from metadialog.models.turns import Turns, TurnsModel
from metadialog.options import FROM_YAML, with_defaults

_State = tuple[Hidden, Hidden, Hidden]


class HRED(TurnsModel):
    """Serban et al. 2016, "Building end-to-end dialogue systems ..." (arXiv:1507.04808), section 3.

    An encoder reads each turn by itself; a recurrent layer over turns, the context, reads its last states; a decoder
    generates the next turn, starting from `tanh(D_0 c + b_0)`, `c` the context (equation 3). The logits are
    `O (H_0 d + E_0 x + b)` of the decoder's state `d` and the token before, `x`, with an output embedding `O`.

    Args:
        vocab_size: number of token ids.
        cell: type of the recurrent layers.
        embedding_size: width of the token embedding, and of the output embedding.
        hidden_size: width of encoder, context and decoder.
        layers: number of stacked recurrent layers in encoder and decoder; the context has one.
        dropout: probability of dropping a unit of the embedding, between layers, and of the output layer's input.
        tied_embedding: use the embedding also as output embedding; see `Output`.
    """

    parts: ClassVar = {
        "embeddings": ("embed.*",),
        "body": ("encoder.*", "context.*", "bridge.*", "decoder.*"),
        "head": ("from_state.*", "from_token.*", "head.*"),
    }

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
        self.encoder = recurrent(cell, embedding_size, hidden_size, layers, dropout)
        self.context = recurrent(cell, hidden_size, hidden_size, 1, dropout)
        self.decoder = recurrent(cell, embedding_size, hidden_size, layers, dropout)
        self.bridge = Bridge(hidden_size, self.decoder)  # D_0
        self.drop = nn.Dropout(dropout)
        self.from_state = nn.Linear(hidden_size, embedding_size)  # H_0
        self.from_token = nn.Linear(embedding_size, embedding_size, bias=False)  # E_0
        self.head = Output(embedding_size, vocab_size, self.embed if tied_embedding else None)  # O

    def forward(self, tokens: Tensor, hidden: _State | None = None, at: Tensor | None = None) -> tuple[Tensor, _State]:
        """Predict the token after each token.

        Args:
            tokens: token ids, int64, `[batch, time]`; padding is at the end, and is ignored.
            hidden: previous state; None at the beginning.
            at: positions in `batch * time` after which to predict, `[positions]`; None for all.

        Returns:
            Logits `[batch, time, vocab]`, or `[positions, vocab]`, and the state after the last token: of encoder,
            context and decoder.
        """
        x = self.drop(self.embed(tokens))  # [batch, time, embedding]
        encoder, context, decoder = self._begin(x) if hidden is None else hidden
        turns = Turns.of(tokens)
        inputs, lengths = turns.lay_out(x), turns.lengths.flatten()  # [batch * turns, length, embedding]
        fresh = map_hidden(lambda state: state.new_zeros(len(state), len(lengths), state.shape[-1]), encoder)
        _, encoded = run(self.encoder, inputs, lengths, turns.starting(encoder, fresh))
        # A turn is complete when the next one begins, so the context covers all turns except the last.
        contexts, after = run(self.context, turns.by_turn(top(encoded)), turns.last, context)  # [batch, turns, hidden]
        earlier = torch.cat([contexts[:, :1], contexts[:, :-1]], dim=1)  # turn 0 is continued
        starts = turns.starting(decoder, self.bridge(earlier.flatten(0, 1)))
        states, decoded = run(self.decoder, inputs, lengths, starts)  # [batch * turns, length, hidden]
        made = self.from_state(turns.put_back(states)) + self.from_token(x)  # [batch, time, embedding]
        logits = self.head(at_positions(self.drop(made), at))  # [batch, time, vocab]
        return logits, (turns.after_last(encoded), after, turns.after_last(decoded))

    def _begin(self, x: Tensor) -> _State:
        decoder = self.bridge(x.new_zeros(len(x), self.context.hidden_size))
        encoder = map_hidden(torch.zeros_like, decoder)  # of the same shape
        return encoder, map_hidden(lambda state: state[:1], encoder), decoder
