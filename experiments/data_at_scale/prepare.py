"""Memory and time of preparing and sampling a corpus of any size, made from a real one.

    python experiments/data_at_scale/prepare.py FOLDER dataset=jsonl dataset.path=talk.jsonl --dialogues 2000000

Repeats the dialogues of a data set with small perturbations (a number added to a turn, so that none is a duplicate
of another) and streams them to a JSON Lines file in FOLDER. Then, each in a process of its own: prepares them
(reading, cleaning, training a tokenizer, cutting everything into tokens), starts a second time, and samples. Prints
the peak of each process's resident memory, and of its own (anonymous) memory, which leaves out what is mapped from
files and the system may take back.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from metadialog.config import build
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import prepare_topics
from metadialog.samplers.episodes import EpisodeSampler

CORPUS = "corpus.jsonl"


def make(folder: Path, overrides: list[str], count: int) -> None:
    """Write a corpus of `count` dialogues."""
    dialogues = list(build(_config("data", overrides)["dataset"]).dialogues())
    with (folder / CORPUS).open("w", encoding="utf-8") as out:
        for number in range(count):
            dialogue = dialogues[number % len(dialogues)]
            turns = [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns]
            place = number % len(turns)
            turns[place] = turns[place] | {"text": f"{turns[place]['text']} {number // len(dialogues)}"}
            out.write(json.dumps({"topic": dialogue.topic, "turns": turns}) + "\n")


def run(step: str, folder: Path, overrides: list[str], episodes: int) -> None:
    """Do one step and print what it took."""
    own = _Own()
    dataset = ["dataset=jsonl", f"dataset.path={folder / CORPUS}", f"cache={folder / 'cache'}"]
    kept = [override for override in overrides if not override.startswith("dataset")]
    config = _config("train", [*dataset, *kept])
    begin = time.perf_counter()
    topics = prepare_topics(config["dataset"], config["split"], config["cache"])
    read = time.perf_counter()
    tokenizer = train_tokenizer(config["tokenizer"], topics)
    cut = time.perf_counter()
    times = f"corpus {read - begin:.1f} s, tokenizer and tokens {cut - read:.1f} s"
    if step == "sample":
        options = {name: value for name, value in config["sampler"].items() if name != "_target_"}
        sampler = EpisodeSampler(topics.of(topics.split.train), tokenizer, 0, **options)
        sampler.batch(10)
        begin = time.perf_counter()
        for _ in range(episodes):
            sampler.sample()
        times += f", {(time.perf_counter() - begin) / episodes * 1000:.2f} ms an episode over {episodes:,}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{step}: {sum(topics.corpus.sizes.values()):,} dialogues; {times}; peak {peak:,.0f} MiB resident, "
        f"{own.peak():,.0f} MiB of them its own; largest helper {others:,.0f} MiB",
        flush=True,
    )


class _Own:
    """Watches this process's anonymous memory."""

    def __init__(self) -> None:
        self._peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def peak(self) -> float:
        return self._peak / 1024

    def _watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
            kib = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
            self._peak = max(self._peak, kib)
            time.sleep(0.2)


def _config(name: str, overrides: list[str]) -> dict[str, Any]:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        composed = OmegaConf.to_container(compose(name, overrides), resolve=True)
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}


def main() -> None:
    """Make the corpus, then run each step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--dialogues", type=int, default=2_000_000)
    parser.add_argument("--episodes", type=int, default=5_000)
    parser.add_argument("--step", choices=["make", "prepare", "start", "sample"], action="append")
    arguments = parser.parse_intermixed_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    steps = arguments.step or ["make", "prepare", "start", "sample"]
    if len(steps) > 1:
        for step in steps:
            subprocess.run([sys.executable, *sys.argv, "--step", step], check=True)
    elif steps == ["make"]:
        make(arguments.folder, arguments.overrides, arguments.dialogues)
    else:
        run(steps[0], arguments.folder, arguments.overrides, arguments.episodes)


if __name__ == "__main__":
    main()
