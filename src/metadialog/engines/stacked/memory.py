"""Estimates of the memory of a sweep over tasks, from the shapes."""

from collections.abc import Sequence
from dataclasses import dataclass

from metadialog.engines.base import InnerLoop, support_of
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel

MIB = 2**20
# Number of features that a recurrent layer keeps of a token, as multiples of its width: trace and cotangent.
_KEPT_STATES = {"RNN_TANH": 4, "GRU": 17, "LSTM": 19}


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory of the largest task, in bytes.

    Attributes:
        tape: memory of one pass: activations and their derivatives.
        weights: memory of one copy of the adapted parameters.
    """

    tape: int
    weights: int

    def vectorized(self, inner: InnerLoop) -> int:
        """Return the bytes of a task if every step is kept: tapes, weights, and working memory."""
        goes_up = not inner.first_order or inner.rates is not None or inner.query_weights is not None
        kept = inner.steps if goes_up else 1
        return (kept + 1) * (self.tape + self.weights) + 3 * self.weights

    def lean(self, steps: int, slots: int) -> int:
        """Return the bytes of a task if one tape and weights in `slots` are kept."""
        return 2 * self.tape + (slots + (3 if steps <= 1 else 4)) * self.weights


def footprint(model: DialogModel, episodes: Sequence[Episode], inner: InnerLoop) -> Footprint:
    """Estimate the memory of the largest task."""
    size = model.linear.weight.element_size()
    sets = [batch for episode in episodes for batch in (support_of(episode), episode.query)]
    tape = max(_tape(model, batch) for batch in sets)
    rows = max(episode.query.inputs.numel() + support_of(episode).inputs.numel() for episode in episodes)
    weights = 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and inner.adapts(name):
            local = name == "embed.weight" and model.embed.weight is not model.linear.weight
            weights += min(rows, parameter.shape[0]) * parameter.shape[1] if local else parameter.numel()
    return Footprint(tape * size, weights * size)


def _tape(model: DialogModel, batch: Batch) -> int:
    """Count the elements that a pass over one batch keeps."""
    tokens, counted = batch.inputs.numel(), int(batch.mask.sum())
    widths = [model.rnn.input_size, *[model.rnn.hidden_size] * model.rnn.num_layers]
    states = sum(width + _KEPT_STATES[model.rnn.mode] * model.rnn.hidden_size for width in widths[:-1])
    return counted * (model.linear.out_features + 2 * widths[-1]) + tokens * states
