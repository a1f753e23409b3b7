"""What adapting and replying cost, beside plain PyTorch loops that do the same for one model and nothing else.

    python experiments/cost_of_talking/measure.py [--clock cpu] [--output table.md]

The default model with random weights (speed does not depend on them), one CPU thread, the median of several runs.
Where other programs want the cores too, `--clock cpu` counts the seconds of CPU of this one, which are what it takes on
a machine of its own.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import metadialog as md
from metadialog.algorithms.prepare import prepared_model
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dialogue import Dialogue
from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.inference.dialogues import as_dialogues, as_turns
from metadialog.inference.model import AdaptableModel
from metadialog.serving.batching import Batcher, PendingReply
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.training.export import export_model

DIALOGUES = Path(__file__).parents[2] / "examples" / "dialogues" / "bicycle_hire_en.jsonl"
CONTEXT = ["Hello, what does it cost to hire a bicycle?", "A day costs 18 euros.", "And for the whole weekend?"]
TOKENS = 200
CLIENTS = 20
STEPS = 5


clock = time.perf_counter


def default_model(folder: Path) -> AdaptableModel:
    """Return the model of `metadialog train` before its training."""
    config = md.compose("train").config
    texts = (turn.text for one in ChatterbotDataset(language="english").dialogues() for turn in one.turns)
    tokenizer = BytePairTokenizer(vocab_size=config["tokenizer"]["vocab_size"]).train(texts)
    learner = make_learner(LearningConfig.of(config), tokenizer)
    torch.manual_seed(0)
    module = prepared_model(config["model"], tokenizer.vocab_size, learner.algorithm, [])
    export_model(folder, module, learner.algorithm, tokenizer, config)
    return md.load_model(folder)


def median(run: Callable[[], object], times: int) -> float:
    """Return the median of the seconds that something takes, after one run that does not count."""
    run()
    seconds = []
    for _ in range(times):
        began = clock()
        run()
        seconds.append(clock() - began)
    return statistics.median(seconds)


def plain_adaptation(model: AdaptableModel, dialogues: list[Dialogue]) -> None:
    """Adapt as a script for one model would: encode, copy, and take gradient steps."""
    import copy

    batch = model.equipment.encoder.batch(dialogues)
    adapted = copy.deepcopy(model.module)
    parameters = list(adapted.parameters())
    for _ in range(STEPS):
        logits, _ = adapted(batch.inputs)
        losses = cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
        loss = (losses * batch.mask.flatten()).sum() / batch.mask.sum()
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(0.3 * gradient)


@torch.no_grad()
def plain_reply(module: nn.Module, prompt: list[int], count: int) -> list[int]:
    """Generate greedily as a script for one model would."""
    logits, state = module(torch.tensor([prompt]))
    said = []
    for _ in range(count):
        token = logits[:, -1].argmax(-1)
        said.append(int(token))
        logits, state = module(token[:, None], state)
    return said


def at_once(model: AdaptableModel, batcher: Batcher, clients: int) -> float:
    """Return the tokens a second that each of some clients gets who ask at the same time."""
    left = threading.Semaphore(0)
    replies = []
    for number in range(clients):
        options = {"name": "sampling", "temperature": 3.0, "max_tokens": TOKENS, "min_tokens": TOKENS}
        growing = model.growing(CONTEXT, options, seed=number)
        if growing is None:
            raise RuntimeError("sampling goes token by token")
        replies.append(PendingReply(model, growing, lambda _, ended: left.release() if ended else None))
    began = clock()
    batcher.submit(replies)
    for _ in replies:
        left.acquire()
    return TOKENS / (clock() - began)


def measure() -> list[tuple[str, str, str, str]]:
    """Return rows: what, aim, measured, over a plain loop."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = default_model(Path(folder) / "model")
    five = as_dialogues(DIALOGUES)[:5]
    ours = median(lambda: model.adapt(five, steps=STEPS), 9)
    plain = median(lambda: plain_adaptation(model, five), 9)
    first = median(lambda: next(model.stream(CONTEXT, {"name": "greedy", "min_tokens": 1})), 21)
    turns = as_turns(CONTEXT)
    prompt = list(model.equipment.encoder.prompt(turns, "bot"))
    plain_first = median(lambda: plain_reply(model.module, prompt, 1), 21)
    options = {"name": "greedy", "max_tokens": TOKENS, "min_tokens": TOKENS}
    whole = median(lambda: model.reply(CONTEXT, generation=options), 5)
    plain_whole = median(lambda: plain_reply(model.module, prompt, TOKENS), 5)
    batcher = Batcher(1000)
    together = statistics.median(at_once(model, batcher, CLIENTS) for _ in range(3))
    alone = statistics.median(at_once(model, batcher, 1) for _ in range(3))
    batcher.stop()
    return [
        ("adapt to 5 dialogues, 5 steps", "2 s or less", f"{ours:.3f} s", f"{ours / plain:.2f} times the time"),
        ("first token", "20 ms", f"{1000 * first:.1f} ms", f"{first / plain_first:.2f} times the time"),
        (
            "one conversation",
            "1,000 tokens a second",
            f"{TOKENS / whole:,.0f} tokens a second",
            f"{whole / plain_whole:.2f} times the time",
        ),
        (
            f"{CLIENTS} at once",
            "20 tokens a second each",
            f"{together:,.0f} tokens a second each",
            f"{together / (alone / CLIENTS):.1f} times what one after another would give",
        ),
    ]


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    given = parser.parse_args()
    output = given.output
    if given.clock == "cpu":
        global clock  # noqa: PLW0603
        clock = time.process_time
    lines = ["| what | aim | measured | beside a plain PyTorch loop |", "|---|---|---:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in measure()]
    table = "\n".join(lines) + "\n"
    if output is None:
        print(table, end="")
    else:
        output.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
