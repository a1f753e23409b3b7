"""The parts of the benchmark of adaptation and replies, each measured in a separate process."""

import resource
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from metadialog.algorithms.base import Tools
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.prepare import prepared_model
from metadialog.benchmark.plain_loops import plain_adaptation, plain_reply, plain_step
from metadialog.benchmark.talking import Part, Row, Sizes, in_turns, median_ratio
from metadialog.config import build
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Episode
from metadialog.experiment.compose import compose
from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.inference.dialogues import as_turns
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.models.transformer import Transformer
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.serving.batching import Batcher, PendingReply
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.training.export import export_model

SHOTS, STEPS = 5, 5
PRETRAINED_SHOTS, PRETRAINED_STEPS = 3, 2
CONTEXT_TOKENS = 100
PLAIN = "a plain PyTorch loop"
CLOCKS: Mapping[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
CONTEXT = ["Hello, what does it cost to hire a bicycle?", "A day costs 18 euros.", "And for the whole weekend?"]
SMOLLM2_OPTIONS = [
    "model=pretrained",
    "tokenizer=pretrained",
    "model.attention=sdpa",
    "algorithm=low_rank_finetune",
    'algorithm.layers=["*.q_proj.*","*.v_proj.*","*.down_proj.*"]',
    "algorithm.inner_lr=0.003",
    "inner=adam",
    "model.system=Continue the dialogue.",  # shorter than that of its template
    f"sampler.max_tokens={CONTEXT_TOKENS}",
]


def recurrent(sizes: Sizes) -> list[Row]:
    """Measure the model of `metadialog train` with random weights, which do not affect speed."""
    torch.set_num_threads(sizes.threads)
    model = untrained([], texts()).with_threads(sizes.threads)
    return [adaptation(model, sizes), *replies(model, sizes), *at_once(model, sizes)]


def adaptation(model: AdaptableModel, sizes: Sizes) -> Row:
    """Measure an adaptation with its curve, compared with a loop of only the steps."""
    dialogues = conversations(SHOTS)
    batch = model.equipment.encoder.batch(dialogues)
    rate = float(model.equipment.algorithm.inner_lr)  # type: ignore[attr-defined]
    ours, plain = in_turns(
        sizes,
        CLOCKS[sizes.clock],
        lambda: model.adapt(dialogues, STEPS, rate=1.0),
        lambda: plain_adaptation(model.module, batch, STEPS, rate),
    )
    what = f"adapt to {SHOTS} dialogues, {STEPS} steps"
    return Row("recurrent", what, "2 s or less", median(ours), "s", median_ratio(ours, plain), PLAIN)


def replies(model: AdaptableModel, sizes: Sizes) -> list[Row]:
    """Measure a conversation: the first token, and a complete reply."""
    prompt = list(model.equipment.encoder.prompt(as_turns(CONTEXT), "bot"))
    greedy: dict[str, Any] = {"name": "greedy", "max_tokens": sizes.tokens, "min_tokens": sizes.tokens}
    first, plain_first, whole, plain_whole = in_turns(
        sizes,
        CLOCKS[sizes.clock],
        lambda: next(model.stream(CONTEXT, {"name": "greedy", "min_tokens": 1})),
        lambda: plain_reply(model.module, prompt, 1),
        lambda: model.reply(CONTEXT, generation=greedy),
        lambda: plain_reply(model.module, prompt, sizes.tokens),
    )
    speed = median(sizes.tokens / seconds for seconds in whole)
    return [
        Row("recurrent", "first token", "20 ms", 1000 * median(first), "ms", median_ratio(first, plain_first), PLAIN),
        Row("recurrent", "one conversation", "1,000", speed, "tokens/s", median_ratio(whole, plain_whole), PLAIN),
    ]


def at_once(model: AdaptableModel, sizes: Sizes) -> list[Row]:
    """Measure concurrent clients with one model, and with an adaptation for each."""
    batcher, clock = Batcher(sizes.clients), CLOCKS[sizes.clock]
    adapted = [model.adapt(conversations(1), 1) for _ in range(sizes.clients)]
    try:
        one, several, together = in_turns(
            sizes,
            clock,
            lambda: _ask(batcher, [model], sizes.tokens),
            lambda: _ask(batcher, adapted, sizes.tokens),
            lambda: _ask(batcher, [model] * sizes.clients, sizes.tokens),
        )
    finally:
        batcher.stop()
    in_turn = [sizes.clients * seconds for seconds in one]
    beside, unit = "one after another", "tokens/s each"
    return [
        Row(
            "recurrent", what, "20", median(sizes.tokens / s for s in taken), unit, median_ratio(taken, in_turn), beside
        )
        for what, taken in (
            (f"{sizes.clients} at once, one model", together),
            (f"{sizes.clients} at once, each an adaptation of its own", several),
        )
    ]


def _ask(batcher: Batcher, models: Sequence[AdaptableModel], tokens: int) -> None:
    """Request replies of `tokens` tokens from all models at the same time, and wait for them."""
    left = threading.Semaphore(0)
    options = {"name": "sampling", "temperature": 3.0, "max_tokens": tokens, "min_tokens": tokens}
    pending = []
    for number, model in enumerate(models):
        growing = model.growing(CONTEXT, options, seed=number)
        assert growing is not None  # noqa: S101 - sampling goes token by token
        pending.append(PendingReply(model, growing, lambda _, ended: left.release() if ended else None))
    batcher.submit(pending)
    for _ in pending:
        left.acquire()


def transformer(sizes: Sizes) -> list[Row]:
    """Measure a step of joint training of a Transformer, compared with a plain loop."""
    torch.set_num_threads(sizes.threads)
    tokenizer = BytePairTokenizer(vocab_size=400).train(texts())
    batch = ExchangeEncoder(tokenizer, 3, 64, "response").batch(conversations(12))
    episode = Episode("all", 0, None, batch, (), (), ())
    clip_norm = 5.0

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = Transformer(tokenizer.vocab_size, dropout=0.0)
        return model, torch.optim.Adam(model.parameters(), lr=0.001)

    model, optimizer = made()
    other, other_optimizer = made()
    algorithm = FineTuning(Tools(), name="finetune")

    def ours() -> None:
        algorithm.outer_step(model, [episode], 0)
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()

    first, second = in_turns(
        sizes, CLOCKS[sizes.clock], ours, lambda: plain_step(other, batch, other_optimizer, clip_norm)
    )
    ratio, aim = median_ratio(first, second), "1.3 times a plain loop"
    return [Row("transformer", "a step of training", aim, 1000 * median(first), "ms", ratio, PLAIN)]


def pretrained(sizes: Sizes) -> list[Row]:
    """Measure SmolLM2: low-rank steps, replies, and memory including libraries and weights."""
    torch.set_num_threads(sizes.threads)
    model = untrained(SMOLLM2_OPTIONS, []).with_threads(sizes.threads)
    dialogues = conversations(PRETRAINED_SHOTS)
    context = _context(model)
    greedy: dict[str, Any] = {"name": "greedy", "max_tokens": sizes.tokens, "min_tokens": sizes.tokens}
    few = Sizes(min(2, sizes.rounds), sizes.tokens, sizes.clients, sizes.clock, sizes.threads)
    adapting, first, whole = in_turns(
        few,
        CLOCKS[sizes.clock],
        lambda: model.adapt(dialogues, PRETRAINED_STEPS),
        lambda: next(model.stream(context, {"name": "greedy", "min_tokens": 1})),
        lambda: model.reply(context, generation=greedy),
    )
    rest = [(sizes.tokens - 1) / (a - b) for a, b in zip(whole, first, strict=True)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    what = f"adapt to {PRETRAINED_SHOTS} dialogues, {PRETRAINED_STEPS} low-rank steps"
    return [
        Row("pretrained", what, "30 s or less", median(adapting), "s"),
        Row("pretrained", f"first token after {CONTEXT_TOKENS} tokens", "0.5 s", median(first), "s"),
        Row("pretrained", "one conversation, from there on", "12", median(rest), "tokens/s"),
        Row("pretrained", "peak memory of the process", "2.5 GB", peak, "GB"),
    ]


PARTS: Mapping[Part, Callable[[Sizes], list[Row]]] = {
    "recurrent": recurrent,
    "transformer": transformer,
    "pretrained": pretrained,
}


def untrained(overrides: Sequence[str], train_on: Sequence[str]) -> AdaptableModel:
    """Return an untrained model with a tokenizer trained on the given texts."""
    config = compose("train", overrides).config
    tokenizer = build(config["tokenizer"]).train(train_on)
    learner = make_learner(LearningConfig.of(config), tokenizer)
    torch.manual_seed(0)
    module = prepared_model(config["model"], tokenizer.vocab_size, learner.algorithm, [])
    with tempfile.TemporaryDirectory() as folder:
        export_model(Path(folder) / "model", module, learner.algorithm, tokenizer, config)
        del module
        return load_model(Path(folder) / "model")


def texts() -> list[str]:
    """Return the turns of the packaged English dialogues."""
    return [turn.text for dialogue in ChatterbotDataset(language="english").dialogues() for turn in dialogue.turns]


def conversations(count: int) -> list[Dialogue]:
    """Return `count` dialogues of four turns, made from the packaged ones."""
    said = texts()
    speakers = ("user", "bot")
    return [
        Dialogue("talk", tuple(Turn(speakers[turn % 2], said[4 * number + turn]) for turn in range(4)), str(number))
        for number in range(count)
    ]


def _context(model: AdaptableModel) -> str:
    """Return a turn with about the token length of a context, including special tokens."""
    said = " ".join(texts()[:40])
    tokens = model.tokenizer.encode(said)[: CONTEXT_TOKENS - 3]
    return model.tokenizer.decode(tokens)
