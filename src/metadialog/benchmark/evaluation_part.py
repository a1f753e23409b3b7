"""The part of the benchmark that measures evaluation, one episode at a time and several at once."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import nn

from metadialog.algorithms.prepare import prepared_model
from metadialog.benchmark.rows import Action, Row, Setting, compared
from metadialog.config import build
from metadialog.episodes import Episode
from metadialog.evaluation.adaptation import Evaluator, Labels, generate_replies
from metadialog.evaluation.scoring import evaluation_mode, score
from metadialog.evaluation.together import AT_ONCE, TOGETHER, replies_together, scores
from metadialog.experiment.compose import compose
from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.preparation.episodes import held_out
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import prepare_topics

QUESTION = "Evaluation"
ALONE = "one by one"
# Short replies and few exchanges, as in most studies.
STUDY = [
    "evaluation=grid", "evaluation.shots=[1,3,5]", "evaluation.queries=2", "evaluation.episodes_per_topic=2",
    "evaluation.max_tokens=64", "evaluation.report_steps=[0,10]", "generation.max_tokens=24",
    "sampler.context_turns=1", "sampler.max_tokens=24", "sampler.queries=2",
]  # fmt: skip
CONFIGS: Mapping[str, Sequence[str]] = {
    "default": [],
    "grid": ["evaluation=grid", "evaluation.shots=[1,5]"],
    "study": STUDY,
    "study, seq2seq": [*STUDY, "model=seq2seq"],
    "study, hred": [*STUDY, "model=hred"],
    "study, transformer": [*STUDY, "model=transformer"],
}
EPISODES = 5
"""Number of episodes for each number of shots."""


def evaluation(setting: Setting) -> Iterator[Row]:
    """Measure the evaluation phase of some configs, and each of its parts for the default one."""
    for name, overrides in CONFIGS.items():
        made = _made(overrides, setting.device)
        evaluator, model, episodes = made
        actions = {ALONE: partial(_in_groups, *made, 1), "several at once": partial(_in_groups, *made, EPISODES)}
        yield from compared(setting, QUESTION, name, actions)
        if name == "default":
            with evaluation_mode(model):
                for part, ways in _parts(evaluator, model, episodes).items():
                    yield from compared(setting, QUESTION, f"{name}, {part}", ways)


def _made(overrides: Sequence[str], device: torch.device) -> tuple[Evaluator, nn.Module, list[Episode]]:
    """Return an evaluator of a config's untrained model, and some episodes of each number of shots."""
    config = compose("train", ["logger=local", *overrides]).config
    topics = prepare_topics(config["dataset"], config["split"], config["cache"])
    tokenizer = train_tokenizer(config["tokenizer"], topics)
    learner, protocol = make_learner(LearningConfig.of(config), tokenizer), build(config["evaluation"])
    drawn = held_out(topics.of(topics.split.test), tokenizer, protocol, config["sampler"])
    by_shots = [[one for one in drawn if one.shots == shots][:EPISODES] for shots in protocol.shots]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = prepared_model(config["model"], tokenizer.vocab_size, learner.algorithm, []).to(device)
    labels = Labels(learner.name, learner.engine, topics.corpus.name, 0, "meta_test", topics.language)
    evaluator = Evaluator(learner.algorithm, protocol, build(config["generation"]), tokenizer, labels)
    return evaluator, model, [episode.to(device) for part in by_shots for episode in part]


def _in_groups(evaluator: Evaluator, model: nn.Module, episodes: Sequence[Episode], most: int) -> object:
    kind = next(model.parameters()).device.type
    before = AT_ONCE[kind]
    AT_ONCE[kind] = most
    try:
        return evaluator.evaluate(model, episodes)
    finally:
        AT_ONCE[kind] = before


def _together(action: Action) -> Action:
    """Make an action evaluate in one pass, also if one by one is faster on this device."""

    def forced() -> None:
        before = set(TOGETHER)
        TOGETHER.update(AT_ONCE)
        try:
            action()
        finally:
            TOGETHER.clear()
            TOGETHER.update(before)

    return forced


def _parts(evaluator: Evaluator, model: nn.Module, episodes: Sequence[Episode]) -> dict[str, dict[str, Action]]:
    """Return the actions of each part of an evaluation, one by one and together."""
    algorithm, tokenizer, generation = evaluator.algorithm, evaluator.tokenizer, evaluator.generation
    supports, asked = [one.support for one in episodes], [one.exchanges for one in episodes]
    apart = [list(algorithm.adapt(model, support, 1))[-1] for support in supports]
    beside = list(algorithm.adapt_together(model, supports, 1) or ())[-1]
    return {
        "3 inner steps": {
            ALONE: lambda: [list(algorithm.adapt(model, support, 3)) for support in supports],
            "written out, one by one": lambda: [
                list(algorithm.adapt_together(model, [support], 3) or ()) for support in supports
            ],
            "together": lambda: list(algorithm.adapt_together(model, supports, 3) or ()),
        },
        "scores of query sets": {
            ALONE: lambda: [score(one, episode.query) for one, episode in zip(apart, episodes, strict=True)],
            "together": _together(lambda: scores(beside, episodes)),
        },
        "replies": {
            ALONE: lambda: [
                generate_replies(one, exchanges, generation, tokenizer)
                for one, exchanges in zip(apart, asked, strict=True)
            ],
            "together": _together(lambda: replies_together(beside, asked, generation, tokenizer)),
        },
    }
