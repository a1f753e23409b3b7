"""What models take: adaptation and replies of SmolLM2, replies of the default recurrent model, training a Transformer.

    python experiments/pretrained/measure.py DIALOGUES.jsonl RESULTS.json [THREADS]

Each time is the best of several, of the processor rather than of the clock, as other processes may use the machine:
with one thread it is what the clock says on a free core. Memory is what the process has at most, its libraries and the
weights included.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from metadialog.algorithms.base import Tools
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.low_rank_linear import LowRankFineTuning
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.episodes import Batch, Episode
from metadialog.generation.greedy import Greedy
from metadialog.inference.dialogues import read_dialogues
from metadialog.inner.adam import Adam
from metadialog.models.pretrained import PretrainedModel
from metadialog.models.rnn import DialogModel
from metadialog.models.transformer import Transformer
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.pretrained import PretrainedTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

SHOTS, CONTEXT, REPLY = 3, 100, 24
GIB = 2**30


def main(dialogues: Path, output: Path, threads: int) -> None:
    """Measure everything, write it down and print it."""
    torch.set_num_threads(threads)
    results: dict[str, object] = {"threads": threads, "torch": torch.__version__}
    for part in (recurrent, transformer, lambda: smollm2(dialogues)):
        results |= part()
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


def smollm2(path: Path) -> dict[str, float]:
    """Adapt two low-rank steps to three dialogues, and reply."""
    tokenizer = PretrainedTokenizer(path=None).train([])
    model = PretrainedModel(tokenizer.vocab_size, path=None, attention="sdpa").eval()
    found = replies(model, tokenizer, tries=2)
    rule = Adam(chunk=4)
    algorithm = LowRankFineTuning(
        Tools(rule=rule), layers=["*.q_proj.*", "*.v_proj.*", "*.down_proj.*"], inner_lr=0.003, inner_steps=2
    )
    prepared = algorithm.prepare(model)
    support = ExchangeEncoder(tokenizer, 3, 64, "response").batch(read_dialogues(path)[:SHOTS])
    factors = sum(p.numel() for p in prepared.parameters() if p.requires_grad)

    def adapt() -> None:
        for _ in algorithm.adapt(prepared, support, 2):
            pass

    return {
        "smollm2_adaptation_seconds": best(adapt, 1),
        "smollm2_adaptation_exchanges": len(support.inputs),
        "smollm2_adaptation_tokens": int((support.inputs != 0).sum()),
        "smollm2_factors_mebibytes": factors * 4 / 2**20,
        "smollm2_peak_gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
        **{f"smollm2_{name}": value for name, value in found.items()},
    }


def recurrent() -> dict[str, float]:
    """Reply with the model that `model=gru` is."""
    tokenizer = BytePairTokenizer(vocab_size=400).train(texts())
    torch.manual_seed(0)
    found = replies(DialogModel(tokenizer.vocab_size).eval(), tokenizer, tries=20)
    return {f"recurrent_{name}": value for name, value in found.items()}


def replies(model: nn.Module, tokenizer: Tokenizer, tries: int) -> dict[str, float]:
    """Return seconds to the first token after a context, and tokens a second from there on."""
    said = [token for text in texts() for token in tokenizer.encode(text)][: CONTEXT - 3]
    prompt = [tokenizer.begin_id, tokenizer.other_id, *said, tokenizer.self_id]
    generation = Greedy(max_tokens=REPLY, min_tokens=REPLY)
    firsts, rests = [], []
    for _ in range(tries):
        began = time.process_time()
        stream = generation.stream(model, [prompt], tokenizer.end_id, [0, 1, 3, 4], None)
        next(stream)
        firsts.append(time.process_time() - began)
        count = sum(1 for _ in stream)
        rests.append((time.process_time() - began - firsts[-1]) / count)
    return {"first_token_seconds": min(firsts), "tokens_per_second": 1 / min(rests)}


def transformer() -> dict[str, float]:
    """Train a Transformer by the framework's joint training, and by a plain loop; return the ratio of their times."""
    tokenizer = BytePairTokenizer(vocab_size=400).train(texts())
    found = list(ChatterbotDataset(language="english").dialogues())[:40]
    batch = ExchangeEncoder(tokenizer, 3, 64, "response").batch(found)
    episode = Episode("all", 0, None, batch, (), (), ())
    torch.manual_seed(0)
    model = Transformer(tokenizer.vocab_size, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    algorithm = FineTuning(name="finetune")

    def ours() -> None:
        algorithm.outer_step(model, [episode], 0)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    def plain() -> None:
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    pairs = [(once(ours), once(plain)) for _ in range(8)]
    ours_best, plain_best = (min(times) for times in zip(*pairs, strict=True))
    return {"transformer_step_seconds": ours_best, "transformer_ratio_to_plain_loop": ours_best / plain_best}


def loss_of(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The loss as a plain loop has it: logits of all tokens, and those of the targets that count."""
    logits, _ = model(batch.inputs)
    return nn.functional.cross_entropy(logits[batch.mask], batch.targets[batch.mask])


def texts() -> list[str]:
    """Return the turns of the embedded English dialogues."""
    return [turn.text for dialogue in ChatterbotDataset(language="english").dialogues() for turn in dialogue.turns]


def best(call: Callable[[], None], tries: int) -> float:
    """Return the processor seconds of the fastest call of several."""
    return min(once(call) for _ in range(tries))


def once(call: Callable[[], None]) -> float:
    """Return the processor seconds of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
