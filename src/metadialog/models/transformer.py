"""A Transformer decoder, from scratch."""

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from metadialog.errors import ConfigError
from metadialog.models.output import Output
from metadialog.models.protocol import BaseModel, at_positions
from metadialog.models.recurrence import State
from metadialog.options import FROM_YAML, with_defaults

_State = tuple[Tensor, Tensor, Tensor]
"""Rotated keys and values of the tokens read, `[read, batch, layers * width]`, and their mask, `[read, batch, 1]`.

As for every `State`, a row with fewer tokens is padded with zeros.
"""


class Block(nn.Module):
    """Attention and a feed-forward layer with residual connections, pre-norm (Xiong et al. 2020).

    Args:
        width: width of inputs and outputs.
        heads: number of attention heads.
        dropout: probability of dropping a unit of a residual.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)  # queries, keys and values
        self.project = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, rotation: Tensor, visible: Tensor, past: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Process `[batch, time, width]`, given the keys and values of earlier tokens, `[batch, read, width]`."""
        queries, keys, values = self.attend(self.norm_1(x)).chunk(3, dim=-1)  # [batch, time, width]
        queries, keys = (rotate(self._by_head(part), rotation) for part in (queries, keys))
        keys = torch.cat([past[0], keys.transpose(1, 2).flatten(2)], dim=1)  # [batch, read + time, width]
        values = torch.cat([past[1], values], dim=1)
        # Explicit, as torch's fused attention has no second derivatives.
        scores = queries @ self._by_head(keys).transpose(2, 3) / queries.shape[-1] ** 0.5  # [batch, heads, time, ...]
        weights = scores.masked_fill(~visible[:, None], torch.finfo(scores.dtype).min).softmax(-1)
        result = (weights @ self._by_head(values)).transpose(1, 2).flatten(2)  # [batch, time, width]
        x = x + self.drop(self.project(result))
        x = x + self.drop(self.down(nn.functional.gelu(self.up(self.norm_2(x)))))
        return x, keys, values

    def _by_head(self, x: Tensor) -> Tensor:
        """Return `[batch, time, width]` as `[batch, heads, time, width / heads]`."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate pairs of units by angles that grow with the position (Su et al. 2021, arXiv:2104.09864, equation 34).

    Args:
        x: `[batch, heads, time, units]`.
        rotation: cosines and sines, `[2, batch, 1, time, units / 2]`.
    """
    first, second = x.chunk(2, dim=-1)
    cosines, sines = rotation
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class Transformer(BaseModel):
    """A causal Transformer over the tokens of a dialogue (Vaswani et al. 2017), pre-norm, with rotary positions.

    It is twice differentiable on every device, and caches keys and values in generation.

    Args:
        vocab_size: number of token ids.
        embedding_size: width of the token embedding and of all layers, `heads` times an even number.
        heads: number of attention heads.
        layers: number of blocks.
        dropout: probability of dropping a unit of the embedding, and of each residual.
        tied_embedding: use the embedding also as output weights; see `Output`.

    Raises:
        ConfigError: the width is not `heads` times an even number.
    """

    parts: ClassVar = {"embeddings": ("embed.*",), "body": ("blocks.*", "norm.*"), "head": ("head.*",)}

    @with_defaults
    def __init__(
        self,
        vocab_size: int,
        embedding_size: Annotated[int, Gt(0), Le(10**6)] = FROM_YAML,
        *,
        heads: Annotated[int, Gt(0), Le(10**4)] = FROM_YAML,
        layers: Annotated[int, Gt(0), Le(1000)] = FROM_YAML,
        dropout: Annotated[float, Ge(0), Lt(1)] = FROM_YAML,
        tied_embedding: bool = FROM_YAML,
    ) -> None:
        super().__init__()
        if embedding_size % (2 * heads):
            raise ConfigError(
                f"model.embedding_size={embedding_size}: should be model.heads={heads} times an even number"
            )
        self.embed = nn.Embedding(vocab_size, embedding_size)
        self.blocks = nn.ModuleList(Block(embedding_size, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(embedding_size)
        self.drop = nn.Dropout(dropout)
        self.head = Output(embedding_size, vocab_size, self.embed if tied_embedding else None)
        units = embedding_size // heads
        self.register_buffer("frequencies", 10_000 ** (-torch.arange(0, units, 2) / units), persistent=False)

    def forward(self, tokens: Tensor, state: _State | None = None, at: Tensor | None = None) -> tuple[Tensor, _State]:
        """Predict the token after each token, or after those at `at`; see `DialogueModel` and `at_positions`."""
        x = self.drop(self.embed(tokens))  # [batch, time, width]
        batch, time, width = x.shape
        if state is None:
            state = (
                x.new_zeros(0, batch, len(self.blocks) * width),
                x.new_zeros(0, batch, len(self.blocks) * width),
                (x.new_zeros(0, batch, 1)),
            )
        read = state[2][..., 0].T  # [batch, read]
        positions = read.sum(1)[:, None] + torch.arange(time, device=x.device)  # [batch, time]
        angles = positions[..., None].to(x.dtype) * self.get_buffer("frequencies").to(x.dtype)
        rotation = torch.stack([angles.cos(), angles.sin()])[:, :, None]  # [2, batch, 1, time, units / 2]
        causal = torch.ones(time, time, dtype=torch.bool, device=x.device).tril().expand(batch, -1, -1)
        visible = torch.cat([(read > 0)[:, None].expand(-1, time, -1), causal], dim=-1)  # [batch, time, read + time]
        past = [part.transpose(0, 1).chunk(len(self.blocks), dim=-1) for part in state[:2]]
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            x, key, value = block(x, rotation, visible, (past[0][layer], past[1][layer]))
            keys.append(key)
            values.append(value)
        kept = torch.cat([state[2], state[2].new_ones(time, batch, 1)])
        after = torch.cat(keys, dim=-1).transpose(0, 1), torch.cat(values, dim=-1).transpose(0, 1), kept
        return self.head(self.norm(at_positions(x, at))), after

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, _State]:
        """Read prompts of different lengths, all tokens at once; see `DialogueModel.read`."""
        logits, (keys, values, kept) = self(tokens, state)
        times = torch.arange(tokens.shape[1], device=tokens.device)
        read = (times[:, None] < lengths)[..., None].to(keys.dtype)  # [time, batch, 1]
        kept = torch.cat([kept[: len(kept) - len(read)], read])
        return logits[torch.arange(len(tokens), device=tokens.device), lengths - 1], (keys * kept, values * kept, kept)
