"""Attention of a decoder to the encoder's states."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """A weighted mean of the encoder's states, whose weights depend on the query.

    Attributes:
        asks_before: whether the query is the decoder's state before a token, rather than after it, so that tokens must
            be decoded one by one.
    """

    asks_before: ClassVar[bool] = False

    def keys(self, values: Tensor) -> Tensor:
        """Return the keys, `[rows, read, keys]`, of the encoder's states, `[rows, read, hidden]`."""
        raise NotImplementedError

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compare queries `[rows, queries, hidden]` with keys; return `[rows, queries, read]`."""
        raise NotImplementedError

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
        """Return the context of each query; zeros if it may attend to nothing.

        Args:
            queries: `[rows, queries, hidden]`.
            keys: result of `keys`, `[rows, read, keys]`.
            values: states of the encoder, `[rows, read, hidden]`.
            allowed: mask of the states that each query may attend to, `[rows, queries, read]`.

        Returns:
            Contexts `[rows, queries, hidden]`.
        """
        scores = self.scores(queries, keys)
        # Not minus infinity, as a query that may attend to nothing would then give NaN, also in gradients.
        weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1) * allowed
        return weights @ values


class Luong(Attention):
    """Luong et al. 2015 (arXiv:1508.04025), section 3.1, score "general": `h_t^T W_a h_s`, with the new state `h_t`."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.match = nn.Linear(hidden, hidden, bias=False)  # W_a

    def keys(self, values: Tensor) -> Tensor:
        """Return `W_a h_s`."""
        result: Tensor = self.match(values)
        return result

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the products."""
        return queries @ keys.transpose(1, 2)


class Bahdanau(Attention):
    """Bahdanau et al. 2015 (arXiv:1409.0473), appendix A.1.2: `v_a^T tanh(W_a s_{i-1} + U_a h_j)`.

    `s_{i-1}` is the decoder's state before the token to predict.
    """

    asks_before = True

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden, bias=False)  # W_a
        self.key = nn.Linear(hidden, hidden, bias=False)  # U_a
        self.energy = nn.Linear(hidden, 1, bias=False)  # v_a

    def keys(self, values: Tensor) -> Tensor:
        """Return `U_a h_j`."""
        result: Tensor = self.key(values)
        return result

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the energies."""
        result: Tensor = self.energy(torch.tanh(self.query(queries)[:, :, None] + keys[:, None]))  # [.., read, 1]
        return result[..., 0]
