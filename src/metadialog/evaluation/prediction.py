"""A response to one dialogue, from a model adapted to others."""

from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.datasets.specification import Request
from metadialog.evaluation.adaptation import evaluation_mode, generate_replies
from metadialog.generation.base import Generation
from metadialog.samplers.exchanges import MIN_TURNS, ExchangeEncoder
from metadialog.tokenizers.tokenizer import Tokenizer


def predict_response(
    model: nn.Module,
    algorithm: Algorithm,
    request: Request,
    encoder: ExchangeEncoder,
    generation: Generation,
    tokenizer: Tokenizer,
) -> str:
    """Adapt to the support dialogues of a request, and generate the turn that it asks for.

    The model is left as it was. Support dialogues without an exchange are passed over.
    """
    device = next(model.parameters()).device
    usable = [dialogue for dialogue in request.support if len(dialogue.turns) >= MIN_TURNS]
    support = encoder.batch(usable).to(device) if usable else None
    asked = encoder.encode(request.target)[-1].exchange
    with evaluation_mode(model):
        *_, adapted = algorithm.adapt(model, support, algorithm.inner_steps)
        (reply,) = generate_replies(adapted, [asked], generation, tokenizer)
    return reply
