"""What metadialog is for, in about a minute of CPU: meta-train, compare, adapt to a shop's dialogues, and ask.

    python examples/first_run/first_run.py                    English, as `make run` does
    python examples/first_run/first_run.py --language zh      Chinese, in about 70 s of CPU

It trains on embedded dialogues, tabulates what a few dialogues of topics that were held out are worth, beside joint
training (finetune) and no training (scratch), and then adapts the model to dialogues of a bicycle hire.
"""

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from time import strftime

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

import metadialog
from metadialog import AdaptableModel, Run
from metadialog.config import build
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.jsonl import JsonlDataset
from metadialog.preparation.episodes import held_out
from metadialog.preparation.topics import prepare_topics

WIDTH = 80
SHOWN = 90
"""Characters of a reply that are shown: an untrained model does not always come to an end."""

DIALOGUES = Path(__file__).parents[1] / "dialogues"
# Tried on Chinese: with an inner rate of 1.0 held-out topics become worse (a perplexity of 4,662 before, 6,694 after),
# and a vocabulary of 1,500 costs 1.5 bits a character.
CORPORA = {
    "en": ["dataset.language=english", "algorithm.inner_lr=1.0"],
    "zh": ["dataset.language=chinese", "algorithm.inner_lr=0.3"],
}

# Few episodes, replies at two steps alone and two validations: all of it takes 55 s of CPU, where validations every 20
# steps took 87 s for the same numbers of MAML's, and a finetune that was worse by 5 % in perplexity.
EVALUATION = ["evaluation.episodes_per_topic=1", "evaluation.report_steps=[0,10]", "training.validation_episodes=1"]
SHARED = ["logger=local", "model.dropout=0.3", *EVALUATION]
# Outer steps of a joint start, and of what follows it. Tried on Chinese, with perplexities after 10 steps of maml and
# of finetune: 100 and 40 take 83 s of CPU for 4,686 and 4,050; 80 and 30 take 68 s for 4,627 and 3,896; 70 and 20 take
# 58 s for 4,898 and 4,657; 100 and 40 with sampler.max_tokens=40 take 67 s for 6,113 and 6,002.
STEPS = {"en": (100, 40), "zh": (80, 30)}
# Tried: 60 steps at these rates, or a little below them, answer 9 of the 12 questions as the shop does, 90 steps all.
ADAPTATION_STEPS = 90
ADAPTATION_RATES = {"en": 2.5, "zh": 10.0}  # times the inner rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, compare, adapt and ask; everything is written below one folder."""
    options = _options().parse_args(arguments)
    console = Console(width=WIDTH, highlight=False)
    folder = Path(options.output or strftime("outputs/first_run/%Y-%m-%d/%H-%M-%S"))
    shared = [*CORPORA[options.language], *SHARED, *options.overrides]
    runs = {
        name: train(name, [*own, *shared], folder, console) for name, own in compared(*STEPS[options.language]).items()
    }
    console.print(comparison(runs, characters(runs["maml"], shared)))
    path = DIALOGUES / f"bicycle_hire_{options.language}.jsonl"
    dialogues = list(JsonlDataset(path=str(path), language=options.language).dialogues())
    model = runs["maml"].model
    adapted = model.adapt(dialogues, ADAPTATION_STEPS, rate=ADAPTATION_RATES[options.language])
    console.print(replies(dialogues, model, adapted))
    target = folder / "bicycle_hire"
    adapted.save(target)
    before, after = model.score(dialogues), adapted.score(dialogues)
    console.print(
        f"{len(dialogues)} dialogues, {ADAPTATION_STEPS} inner steps: word perplexity of these dialogues "
        f"{before.word_perplexity:,.0f} before, {after.word_perplexity:,.1f} after"
    )
    console.print(f"talk to it: {command()} chat run={target}", soft_wrap=True)


def compared(joint: int, meta: int) -> dict[str, list[str]]:
    """Return the options of each run: MAML after a joint start, as many steps of joint training, and no training."""
    validations = f"training.validate_every={(joint + meta) // 2}"
    return {
        "maml": ["start=joint", f"start.steps={joint}", f"training.steps={meta}", validations],
        "finetune": ["algorithm=finetune", f"training.steps={joint + meta}", validations],
        "scratch": ["algorithm=scratch", "training.steps=0"],
    }


def train(name: str, overrides: Sequence[str], folder: Path, console: Console) -> Run:
    """Return a finished run; what it prints on its way is left out."""
    console.print(f"{name}: metadialog train {' '.join(overrides)}", soft_wrap=True)
    with Path("/dev/null").open("w") as nothing:
        return metadialog.compose("train", list(overrides)).run(folder / name, console=Console(file=nothing))


def comparison(runs: Mapping[str, Run], letters: int) -> Table:
    """Return a table of the held-out topics: loss, bits a character and word perplexity, before and after.

    Args:
        runs: by algorithm, all scored on the same references.
        letters: characters of these.
    """
    table = Table(title="Held-out topics, 5 dialogues, before and after 10 inner steps", title_justify="left")
    table.add_column("algorithm")
    for header in ("loss\n(nats a token)", "bits a\ncharacter", "word perplexity"):
        table.add_column(header, justify="right")
    for name, run in runs.items():
        ends = [part for _, part in run.records.groupby("inner_step")]
        cells = [_scores(part, letters) for part in (ends[0], ends[-1])]
        table.add_row(name, *(f"{before} → {after}" for before, after in zip(*cells, strict=True)))
    return table


def _scores(records: pd.DataFrame, letters: int) -> tuple[str, str, str]:
    nats = float((records["loss"] * records["tokens"]).sum())
    loss, bits = nats / records["tokens"].sum(), nats / math.log(2) / letters
    return f"{loss:.2f}", f"{bits:.2f}", f"{math.exp(nats / records['words'].sum()):,.0f}"


def characters(run: Run, shared: Sequence[str]) -> int:
    """Return the characters of all references that a run has been scored on."""
    options = metadialog.compose("train", list(shared)).options
    topics = prepare_topics(options.dataset, options.split)
    protocol = build(options.evaluation)
    episodes = held_out(topics.of(topics.split.test), run.model.tokenizer, protocol, options.sampler)
    return sum(len(exchange.response) for episode in episodes for exchange in episode.exchanges)


def replies(dialogues: Sequence[Dialogue], model: AdaptableModel, adapted: AdaptableModel) -> Table:
    """Return a table of the first question of each dialogue, with the replies of both models."""
    title = "Questions of the bicycle hire, before and after adaptation"
    table = Table(title=title, title_justify="left", show_lines=True)
    for header, width in (("question", 26), ("before", 16), ("after", 28)):
        table.add_column(header, width=width, overflow="fold")
    for dialogue in dialogues:
        question = dialogue.turns[:1]
        texts = (question[0].text, model.reply(question), adapted.reply(question))
        table.add_row(*(Text(text if len(text) <= SHOWN else f"{text[:SHOWN]}…") for text in texts))
    return table


def command() -> str:
    """Return how metadialog is called: by its name, or by its path where it is not on the PATH."""
    return "metadialog" if which("metadialog") else os.path.relpath(Path(sys.executable).with_name("metadialog"))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--language", choices=sorted(CORPORA), default="en", help="of the dialogues (en)")
    parser.add_argument("--output", help="folder to write to (a new one below outputs/first_run)")
    parser.add_argument("overrides", nargs="*", help="options of all three runs, such as device=cpu")
    return parser


if __name__ == "__main__":
    main()
