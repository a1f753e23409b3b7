"""A response to one dialogue, from a model adapted to others."""

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
    """Adapt to the support dialogues of a request, and generate the turn that it asks for.

    The inner rate and steps are those that were chosen for the nearest number of shots; the algorithm's own where none
    were. The model is left as it was. Support dialogues without an exchange are passed over.
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
