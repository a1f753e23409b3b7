"""Predict a response in one dialogue with a model adapted to other dialogues."""

from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.datasets.specification import Request
from metadialog.evaluation.adaptation import generate_replies
from metadialog.evaluation.scoring import evaluation_mode
from metadialog.evaluation.selection import NOTHING, Selection
from metadialog.generation.base import Generation
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.tokenizer import Tokenizer


def predict_response(
    model: nn.Module,
    algorithm: Algorithm,
    request: Request,
    encoder: ExchangeEncoder,
    generation: Generation,
    tokenizer: Tokenizer,
    selection: Selection = NOTHING,
) -> str:
    """Adapt to the support dialogues of a request, and generate the requested turn.

    The inner rate and steps are those selected for the nearest number of shots, or the algorithm's own if none were
    selected. The model is not changed. Support dialogues without an exchange are ignored.
    """
    device = next(model.parameters()).device
    usable = [dialogue for dialogue in request.support if any(turn.reply for turn in dialogue.turns[1:])]
    support = encoder.batch(usable).to(device) if usable else None
    asked = encoder.exchanges([request.target])[-1]
    with evaluation_mode(model):
        chosen = selection.nearest(len(usable))
        steps, rate = (algorithm.inner_steps, 1.0) if chosen is None else (chosen.inner_step, chosen.rate)
        *_, adapted = algorithm.adapt(model, support, steps, scale=rate)
        (reply,) = generate_replies(adapted, [asked], generation, tokenizer)
    return reply
