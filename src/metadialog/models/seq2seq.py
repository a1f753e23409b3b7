"""An encoder-decoder with attention."""

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn
from torch.nn.functional import pad

from metadialog.models.attention import Bahdanau, Luong
from metadialog.models.output import Output
from metadialog.models.protocol import at_positions
from metadialog.models.recurrence import Bridge, Cell, Hidden, are_static, map_hidden, recurrent, run, top
from metadialog.models.turns import Turns, TurnsModel
from metadialog.options import FROM_YAML, with_defaults

_Attended = tuple[Tensor, Tensor, Tensor]
_State = tuple[Hidden, Hidden, Tensor, Tensor, Tensor]


class Seq2Seq(TurnsModel):
    """Each turn is decoded with attention to all turns before it.

    For the last turn this is the encoder-decoder of Sutskever et al. 2014 (arXiv:1409.3215) and Vinyals and Le 2015
    (arXiv:1506.05869) with attention; earlier turns are decoded in the same way if they count in the loss. A single
    unidirectional encoder reads all tokens, so that its states are used for all later turns. The decoder starts each
    turn from `tanh(W e + b)`, with the encoder's state `e` before the turn.

    - `luong` (Luong et al. 2015, arXiv:1508.04025, global attention, without input feeding): the decoder's new state
      `d` attends to a context `c`, and the output is computed from `tanh(W_c [c; d])` (equation 5), for all tokens at
      once.
    - `bahdanau` (Bahdanau et al. 2015, arXiv:1409.0473): the previous state attends to `c`, which is an input of the
      decoder besides the token `x`; the output is computed from `tanh(W_c [c; d; x])` instead of the paper's maxout,
      token by token.

    Args:
        vocab_size: number of token ids.
        attention: type of attention.
        cell: type of the recurrent layers.
        embedding_size: width of the token embedding.
        hidden_size: width of encoder, decoder and attention.
        layers: number of stacked recurrent layers in encoder and decoder.
        dropout: probability of dropping a unit of the embedding, between layers, and of the output layer's input.
        tied_embedding: use the embedding also as output weights; see `Output`.
    """

    parts: ClassVar = {
        "embeddings": ("embed.*",),
        "body": ("encoder.*", "bridge.*", "decoder.*", "attention.*", "combine.*"),
        "head": ("head.*",),
    }

    @with_defaults
    def __init__(
        self,
        vocab_size: int,
        hidden_size: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
        *,
        attention: Literal["bahdanau", "luong"] = FROM_YAML,
        cell: Cell = FROM_YAML,
        embedding_size: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
        layers: Annotated[int, Gt(0), Le(1000)] = FROM_YAML,
        dropout: Annotated[float, Ge(0), Lt(1)] = FROM_YAML,
        tied_embedding: bool = FROM_YAML,
    ) -> None:
        super().__init__()
        fed = hidden_size if attention == "bahdanau" else 0  # width of the context as input of the decoder
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.encoder = recurrent(cell, embedding_size, hidden_size, layers, dropout)
        self.decoder = recurrent(cell, embedding_size + fed, hidden_size, layers, dropout)
        self.bridge = Bridge(hidden_size, self.decoder)
        self.attention = Bahdanau(hidden_size) if attention == "bahdanau" else Luong(hidden_size)
        self.combine = nn.Linear(2 * hidden_size + (embedding_size if fed else 0), hidden_size)
        self.drop = nn.Dropout(dropout)
        self.head = Output(hidden_size, vocab_size, self.embed if tied_embedding else None)

    def forward(self, tokens: Tensor, hidden: _State | None = None, at: Tensor | None = None) -> tuple[Tensor, _State]:
        """Predict the token after each token.

        Args:
            tokens: token ids, int64, `[batch, time]`; padding is at the end, and is ignored.
            hidden: previous state; None at the beginning.
            at: positions in `batch * time` after which to predict, `[positions]`; None for all.

        Returns:
            Logits `[batch, time, vocab]`, or `[positions, vocab]`, and the state after the last token: the states of
            encoder and decoder, the encoder's outputs, `[read, batch, hidden]`, their turns, `[read, batch, 1]`, from 1
            on or 0 for padding, and the current turn, `[1, batch, 1]`.
        """
        x = self.drop(self.embed(tokens))  # [batch, time, embedding]
        encoder, decoder, memory, memory_turns, turn = self._begin(x) if hidden is None else hidden
        turns = Turns.of(tokens)
        number = turn[0] + turns.number  # [batch, time]
        before = top(encoder)[:, None]  # [batch, 1, hidden]
        encoded, encoder = run(self.encoder, x, turns.read, encoder)  # [batch, time, hidden]
        starts = turns.at_begin(torch.cat([before, encoded[:, :-1]], dim=1))  # [batch, turns, hidden]
        decoder = turns.starting(decoder, self.bridge(starts.flatten(0, 1)))
        memory = torch.cat([memory, encoded.transpose(0, 1)])  # [read, batch, hidden]
        is_read = torch.arange(tokens.shape[1], device=tokens.device) < turns.read[:, None]  # [batch, time]
        memory_turns = torch.cat([memory_turns, (number * is_read).T[..., None]])
        attended = memory.transpose(0, 1), memory_turns[..., 0].T, turn[0]
        decode = self._stepwise if self.attention.asks_before else self._at_once
        made, after = decode(x, turns, decoder, attended)
        logits = self.head(at_positions(self.drop(torch.tanh(self.combine(made))), at))  # [batch, time, vocab]
        state = encoder, turns.after_last(after), memory, memory_turns, number[None, :, -1:]
        return logits, state

    def _begin(self, x: Tensor) -> _State:
        nothing = x.new_zeros(len(x), self.encoder.hidden_size)
        begun = self.bridge(nothing)
        encoder = map_hidden(torch.zeros_like, begun)  # of the same shape
        none = torch.zeros(0, len(x), 1, dtype=torch.int64, device=x.device)
        return encoder, begun, x.new_zeros(0, *nothing.shape), none, none.new_ones(1, len(x), 1)

    def _at_once(self, x: Tensor, turns: Turns, starts: Hidden, attended: _Attended) -> tuple[Tensor, Hidden]:
        """Decode, then attend (Luong); see `_stepwise`."""
        memory, memory_turns, turn = attended
        states, after = run(self.decoder, turns.lay_out(x), turns.lengths.flatten(), starts)
        queries = turns.put_back(states)  # [batch, time, hidden]
        allowed = _allowed(memory_turns, turn + turns.number)
        contexts = self.attention(queries, self.attention.keys(memory), memory, allowed)  # [batch, time, hidden]
        return torch.cat([contexts, queries], dim=-1), after

    def _stepwise(self, x: Tensor, turns: Turns, starts: Hidden, attended: _Attended) -> tuple[Tensor, Hidden]:
        """Attend, then decode, token by token for all turns at once (Bahdanau).

        Args:
            x: embedded tokens, `[batch, time, embedding]`.
            turns: layout of the turns.
            starts: decoder states before each turn, `[layers, batch * turns, hidden]`.
            attended: encoder outputs, `[batch, read, hidden]`, their turns, `[batch, read]`, and the turn in progress
                before, `[batch, 1]`.

        Returns:
            The inputs of the output layer, `[batch, time, width]`, and the states after each turn.
        """
        memory, memory_turns, turn = attended
        # Longest turns first, so that unfinished turns are always at the beginning.
        lengths, order = turns.lengths.flatten().sort(descending=True, stable=True)
        longest = turns.at.shape[-1] if are_static() else int(lengths[0])
        rows = order // turns.lengths.shape[1]
        numbers = torch.arange(turns.lengths.shape[1], device=x.device)
        allowed = _allowed(memory_turns, turn + numbers).flatten(0, 1)[order][:, None]  # [turns, 1, read]
        values, keys, inputs = memory[rows], self.attention.keys(memory)[rows], turns.lay_out(x)[order]
        hidden = map_hidden(lambda state: state[:, order], starts)
        made = []
        for step in range(longest):
            on = len(order) if are_static() else int((lengths > step).sum())
            queries = top(hidden)[:on, None]  # [on, 1, hidden]
            context = self.attention(queries, keys[:on], values[:on], allowed[:on])
            token = inputs[:on, step, None]  # [on, 1, embedding]
            before = map_hidden(lambda state, on=on: state[:, :on].contiguous(), hidden)
            new, after = self.decoder(torch.cat([token, context], dim=-1), before)
            if are_static():
                going = (lengths > step)[None, :, None]
                hidden = map_hidden(lambda new, old, going=going: torch.where(going, new, old), after, hidden)
            else:
                hidden = map_hidden(lambda new, old, on=on: torch.cat([new, old[:, on:]], dim=1), after, hidden)
            made.append(pad(torch.cat([context, new, token], dim=-1), (0, 0, 0, 0, 0, len(order) - on)))
        if not made:  # only padding
            made = [x.new_zeros(len(order), 1, self.combine.in_features)]
        back = order.argsort()
        hidden = map_hidden(lambda state: state[:, back], hidden)
        return turns.put_back(torch.cat(made, dim=1)[back]), hidden


def _allowed(memory_turns: Tensor, turn: Tensor) -> Tensor:
    """Return the mask of encoder outputs that belong to earlier turns, `[batch, n, read]`.

    Args:
        memory_turns: turns of the encoder outputs, `[batch, read]`; 0 for padding.
        turn: turns that attend, `[batch, n]`.
    """
    of = memory_turns[:, None]
    return (of > 0) & (of < turn[..., None])
