"""How fast episodes are sampled beside how fast they are consumed, and how much of them is padding.

    python experiments/data_at_scale/sampling.py dataset=jsonl dataset.path=talk.jsonl sampler.max_tokens=64

Takes the overrides of `metadialog train`. Sampling and meta-steps alternate, so that other load of the
machine affects both equally.
"""

import sys
import time

import torch
from hydra import compose, initialize_config_module
from torch import nn

from metadialog.config import build, plain
from metadialog.episodes import Batch
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import prepare_topics

ROUNDS = 5
EPISODES = 100


def main() -> None:
    """Print the table."""
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        config = plain(compose("train", sys.argv[1:]))
    begin = time.perf_counter()
    topics = prepare_topics(config["dataset"], config["split"], config["cache"])
    tokenizer = train_tokenizer(config["tokenizer"], topics)
    print(f"data: {time.perf_counter() - begin:.2f} s from files or cache to tokens")
    sampler = build(config["sampler"], topics.of(topics.split.train), tokenizer, 0)
    model: nn.Module = build(config["model"], tokenizer.vocab_size)
    algorithm = build(config["algorithm"], build(config["engine"]))
    size = config["training"]["meta_batch"]
    sampler.batch(20)
    algorithm.outer_step(model, sampler.batch(size))
    sampling = stepping = 0.0
    batches: list[Batch] = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        episodes = sampler.batch(EPISODES)
        sampling += (time.perf_counter() - begin) / EPISODES / ROUNDS
        begin = time.perf_counter()
        algorithm.outer_step(model, episodes[:size])
        stepping += (time.perf_counter() - begin) / size / ROUNDS
        batches += [batch for episode in episodes for batch in (episode.support, episode.query)]
    print(f"sampling: {sampling * 1000:.2f} ms an episode")
    print(f"consuming: {stepping * 1000:.2f} ms an episode, {torch.get_num_threads()} threads")
    print(f"ratio: {stepping / sampling:.0f}")
    parts = [part for batch in batches for part in batch.buckets or (batch,)]
    rows = sum(len(batch.inputs) for batch in batches) / len(batches)
    print(f"padding: {padding(batches):.1%} in whole sets, {padding(parts):.1%} in buckets; {rows:.0f} exchanges a set")


def padding(batches: list[Batch]) -> float:
    """Return the share of input tokens that are padding."""
    real = sum(int((batch.targets != 0).sum()) for batch in batches)
    return 1 - real / sum(batch.targets.numel() for batch in batches)


if __name__ == "__main__":
    main()
