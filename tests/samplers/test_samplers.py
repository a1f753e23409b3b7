import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch.utils.data import Dataset

from metadialog import learn2learn_interface
from metadialog.config import check
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Episode
from metadialog.errors import ConfigError, DataError, RunError
from metadialog.samplers.base import Sampler
from metadialog.samplers.episodes import TopicWeighting, topic_weights
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.character import CharacterTokenizer

CONF = Path(__file__).parents[2] / "conf" / "sampler"
KINDS = ("episodes", "taskset")
BYTES = CharacterTokenizer(vocab_size=261).train([])
Topics = Mapping[str, Sequence[Dialogue]]


def options(kind: str) -> dict[str, Any]:
    found = OmegaConf.to_container(OmegaConf.load(CONF / f"{kind}.yaml"))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def build(kind: str, topics: Topics, seed: int = 0, **changes: object) -> Sampler:
    given = options(kind) | changes
    sampler: Sampler = get_object(given.pop("_target_"))(topics, BYTES, seed, **given)
    return sampler


def made_up(sizes: Mapping[str, int]) -> Topics:
    return {
        topic: [Dialogue(topic, (Turn("a", f"{i}?"), Turn("b", f"{topic} {i}")), f"{topic}:{i}") for i in range(size)]
        for topic, size in sizes.items()
    }


class ByTopic(Dataset[tuple[int, str]]):
    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._topics = [dialogue.topic for dialogue in dialogues]

    def __len__(self) -> int:
        return len(self._topics)

    def __getitem__(self, index: int) -> tuple[int, str]:
        return index, self._topics[index]


def generators() -> tuple[object, ...]:
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    return random.getstate(), repr(numpy), torch.get_rng_state().tolist()


def drawn(episode: Episode) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    return episode.topic, episode.support_ids, episode.query_ids


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_holds_what_was_drawn(kind: str, topics: Topics) -> None:
    for index, episode in enumerate(build(kind, topics).batch(5)):
        assert episode.index == index
        assert (len(episode.support_ids), len(episode.query_ids), episode.shots) == (5, 5, 5)
        by_id = {dialogue.id: dialogue for dialogue in topics[episode.topic]}
        encoder = ExchangeEncoder(BYTES, 3, 64, "response")
        support = encoder.batch(by_id[i] for i in episode.support_ids)
        query = encoder.batch(by_id[i] for i in episode.query_ids)
        assert episode.support is not None
        for ours, theirs in ((episode.support, support), (episode.query, query)):
            assert torch.equal(ours.inputs, theirs.inputs)
            assert torch.equal(ours.targets, theirs.targets)
            assert torch.equal(ours.mask, theirs.mask)
            assert torch.equal(ours.words, theirs.words)
        assert episode.exchanges == encoder.exchanges([by_id[i] for i in episode.query_ids])
        assert len(episode.exchanges) == len(episode.query.inputs)


def test_the_first_draws_are_the_same_everywhere(topics: Topics) -> None:
    sampler = build("episodes", topics, seed=7, shots=2, queries=2)
    assert [drawn(sampler.sample()) for _ in range(3)] == PINNED_UNIFORM
    sampler = build("episodes", topics, seed=7, shots=2, queries=2, topic_weighting="temperature")
    assert [drawn(sampler.sample()) for _ in range(3)] == PINNED_TEMPERATURE


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_makes_the_sequence(kind: str, topics: Topics) -> None:
    first, again, other = (build(kind, topics, seed).batch(20) for seed in (1, 1, 2))
    assert [drawn(episode) for episode in first] == [drawn(episode) for episode in again]
    assert [drawn(episode) for episode in first] != [drawn(episode) for episode in other]
    assert len({drawn(episode) for episode in first}) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_topics_does_not_matter(kind: str, topics: Topics) -> None:
    backwards = {topic: topics[topic] for topic in sorted(topics, reverse=True)}
    ours, theirs = build(kind, topics), build(kind, backwards)
    assert [drawn(e) for e in ours.batch(10)] == [drawn(e) for e in theirs.batch(10)]


@pytest.mark.parametrize("kind", KINDS)
def test_resuming_goes_on_where_it_stopped(kind: str, topics: Topics) -> None:
    whole = [drawn(episode) for episode in build(kind, topics).batch(8)]
    stopped = build(kind, topics)
    stopped.batch(3)
    resumed = build(kind, topics)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert [drawn(episode) for episode in resumed.batch(5)] == whole[3:]
    assert drawn(resumed.episode(0)) == whole[0]
    assert resumed.state_dict() == {"next_episode": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_batch_are_its_episodes(kind: str, topics: Topics) -> None:
    whole = [drawn(episode) for episode in build(kind, topics).batch(5)]
    for part in (slice(0, 5, 2), slice(1, 5, 2), slice(7, 5, 2)):
        sampler = build(kind, topics)
        assert [drawn(episode) for episode in sampler.batch(5, part)] == whole[part]
        assert sampler.state_dict() == {"next_episode": 5}


@pytest.mark.parametrize("state", [{}, {"next_episode": -1}, {"next_episode": "3"}, {"next_episode": None}])
def test_a_state_that_is_none_is_refused(state: dict[str, object], topics: Topics) -> None:
    with pytest.raises(RunError, match="next_episode should be a whole number, 0 or more"):
        build("episodes", topics).load_state_dict(state)


@pytest.mark.parametrize("kind", KINDS)
@given(
    sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(5, 9), min_size=1),
    shots=st.integers(1, 3),
    queries=st.integers(1, 2),
    seed=st.integers(0, 10**6),
)
def test_support_and_query_are_disjoint_and_of_one_topic(
    kind: str, sizes: dict[str, int], shots: int, queries: int, seed: int
) -> None:
    for episode in build(kind, made_up(sizes), seed, shots=shots, queries=queries).batch(3):
        ids = episode.support_ids + episode.query_ids
        assert len(set(ids)) == len(ids) == shots + queries
        assert {i.split(":")[0] for i in ids} == {episode.topic}


@pytest.mark.parametrize("kind", KINDS)
def test_global_generators_are_neither_used_nor_moved(kind: str, topics: Topics) -> None:
    sampler = build(kind, topics)
    before = generators()
    episode = drawn(sampler.episode(4))
    assert generators() == before
    random.seed(99)
    assert drawn(sampler.episode(4)) == episode


@pytest.mark.parametrize(
    ("weighting", "temperature", "expected"),
    [
        ("uniform", 2.0, [1 / 3, 1 / 3, 1 / 3]),
        ("proportional", 2.0, [4 / 56, 16 / 56, 36 / 56]),
        ("temperature", 1.0, [4 / 56, 16 / 56, 36 / 56]),
        ("temperature", 2.0, [2 / 12, 4 / 12, 6 / 12]),
        ("temperature", 1e9, [1 / 3, 1 / 3, 1 / 3]),
        ("temperature", 1e-3, [0, 0, 1]),
    ],
)
def test_topics_are_drawn_by_their_weights(
    weighting: TopicWeighting, temperature: float, expected: list[float]
) -> None:
    sizes = {"a": 4, "b": 16, "c": 36}
    weights = topic_weights(list(sizes.values()), weighting, temperature)
    assert [weight / sum(weights) for weight in weights] == pytest.approx(expected, abs=1e-8)
    sampler = build("episodes", made_up(sizes), shots=1, queries=1, topic_weighting=weighting, temperature=temperature)
    counts = Counter(sampler.sample().topic for _ in range(1500))
    # Five standard deviations of a count are at most 97.
    assert all(abs(counts[topic] - 1500 * p) < 97 for topic, p in zip(sizes, expected, strict=True))


def test_learn2learn_draws_topics_and_dialogues_uniformly() -> None:
    sampler = build("taskset", made_up({"a": 2, "b": 6}), shots=1, queries=1)
    episodes = sampler.batch(1200)
    topics = Counter(episode.topic for episode in episodes)
    assert abs(topics["a"] - 600) < 87
    dialogues = Counter(i for episode in episodes for i in episode.support_ids if episode.topic == "b")
    assert len(dialogues) == 6
    assert all(abs(count - 100) < 47 for count in dialogues.values())


def test_the_draw_is_learn2learns_own(topics: Topics) -> None:
    sampler = build("taskset", topics, seed=3)
    dialogues = [dialogue for topic in sorted(topics) for dialogue in topics[topic]]
    learn2learn = learn2learn_interface.learn2learn  # type: ignore[attr-defined]
    dataset = learn2learn.data.MetaDataset(ByTopic(dialogues))
    transforms = learn2learn.data.transforms
    steps = [transforms.NWays(dataset, n=1), transforms.KShots(dataset, k=10), transforms.LoadData(dataset)]
    taskset = learn2learn.data.Taskset(dataset, task_transforms=steps, task_collate=list)
    for index in range(3):
        random.seed(f"3:{index}")
        ids = tuple(dialogues[number].id for number, _ in taskset.sample())
        episode = sampler.sample()
        assert episode.support_ids + episode.query_ids == ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_topic_with_too_few_dialogues_is_named(kind: str) -> None:
    with pytest.raises(DataError) as caught:
        build(kind, made_up({"big": 10, "small": 9}))
    assert str(caught.value) == (
        "topic small: has 9 dialogues, but sampler.shots=5 and sampler.queries=5 take 10: lower them, "
        "set split.min_dialogues=10, or add dialogues; it has room for sampler.shots=5 sampler.queries=4"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_no_topics_and_dialogues_without_a_response_are_refused(kind: str) -> None:
    with pytest.raises(DataError, match="there is no topic"):
        build(kind, {})
    broken = [*made_up({"t": 10})["t"], Dialogue("t", (Turn("a", "hi"),), "t:10")]
    with pytest.raises(DataError, match=r"^dialogue t:10: has no response"):
        build(kind, {"t": broken})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("option", "value"),
    [("shots", 0), ("queries", 0), ("context_turns", 0), ("max_tokens", 3), ("loss_on", "query")],
)
def test_values_out_of_range_are_refused(kind: str, option: str, value: object) -> None:
    check(options(kind))
    with pytest.raises(ConfigError, match=f"^{option}={value}: should be "):
        check(options(kind) | {option: value})


@pytest.mark.parametrize(("option", "value"), [("temperature", 0.0), ("topic_weighting", "even")])
def test_weightings_out_of_range_are_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{option}={value}: should be "):
        check(options("episodes") | {option: value})


PINNED_UNIFORM = [
    (
        "movies",
        ("english/movies.yml:4", "english/movies.yml:48"),
        ("english/movies.yml:22", "english/movies.yml:38"),
    ),
    (
        "trivia",
        ("english/trivia.yml:389", "english/trivia.yml:97"),
        ("english/trivia.yml:219", "english/trivia.yml:217"),
    ),
    (
        "emotion",
        ("english/emotion.yml:222", "english/emotion.yml:51"),
        ("english/emotion.yml:89", "english/emotion.yml:39"),
    ),
]
PINNED_TEMPERATURE = [
    (
        "psychology",
        ("english/psychology.yml:8", "english/psychology.yml:128"),
        ("english/psychology.yml:53", "english/psychology.yml:97"),
    ),
    (
        "trivia",
        ("english/trivia.yml:389", "english/trivia.yml:97"),
        ("english/trivia.yml:219", "english/trivia.yml:217"),
    ),
    (
        "conversations",
        ("english/conversations.yml:119", "english/conversations.yml:28"),
        ("english/conversations.yml:61", "english/conversations.yml:9"),
    ),
]
