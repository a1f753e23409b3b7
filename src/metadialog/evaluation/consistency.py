"""Agreement of replies with known facts about a topic, such as the sentences of a persona."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le, MinLen
from pydantic import RootModel

from metadialog.errors import ConfigError
from metadialog.metrics.base import ReplyMetric
from metadialog.pretrained.files import SAFE, locate
from metadialog.runs.reading import read_json

_FACTS_LIMIT = 256 * 2**20


class Facts(RootModel[dict[str, list[str]]]):
    """Sentences known about each topic, by the topic's name."""


class Consistency(ReplyMetric):
    """The C-score of PAML (Madotto et al. 2019, P19-1542, section 3.1), by any model of natural language inference.

    For a reply u and the sentences p of its topic it is the sum of NLI(u, p), which is 1 if u entails p, -1 if u
    contradicts it, 0 otherwise. The score is the mean over replies.

    Args:
        model: a classifier of sentence pairs that `transformers` loads: a folder, or a name on the hub. Its
            `id2label` names two of its labels after entailment and contradiction.
        facts: path of a JSON file with the sentences of each topic: `{"topic": ["i have a dog .", ...]}`.
        batch: pairs in one pass of the classifier.

    Raises:
        ConfigError: a library, the model, its labels or a topic's sentences are missing.
        RunError: the file of the sentences is missing or damaged.
    """

    better = "higher"

    model: Annotated[str, MinLen(1)]
    facts: Annotated[str, MinLen(1)]
    batch: Annotated[int, Ge(1), Le(10**6)] = 32

    def check(self, topics: Sequence[str]) -> None:
        """Load the classifier and the sentences, and check that every topic has some."""
        missing = [topic for topic in topics if not self._sentences.get(topic)]
        if missing:
            raise ConfigError(
                f"{self.facts}: has no sentences of the topic {missing[0]!r} (of {len(missing)} of {len(topics)} "
                "held-out topics); it should have some of each, under the topic's name as metadialog data shows it"
            )
        _ = self._classifier

    def score(self, replies: Sequence[str], references: Sequence[str], language: str, topic: str) -> float:  # noqa: ARG002
        """Return the mean over replies of the sum over the topic's sentences."""
        pairs = [(reply, sentence) for reply in replies for sentence in self._sentences[topic]]
        verdicts = [verdict for start in range(0, len(pairs), self.batch) for verdict in self._verdicts(pairs[start:])]
        return sum(verdicts) / len(replies)

    def _verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Return 1, 0 or -1 for each of the first `batch` pairs of a reply and a sentence."""
        tokenizer, model, values = self._classifier
        replies, sentences = zip(*pairs[: self.batch], strict=True)
        inputs = tokenizer(list(replies), list(sentences), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            chosen = model(**inputs).logits.argmax(dim=-1)  # [pairs]
        return [values.get(label, 0) for label in chosen.tolist()]

    @cached_property
    def _sentences(self) -> dict[str, list[str]]:
        return read_json(Path(self.facts).expanduser(), Facts, _FACTS_LIMIT, "sentences of topics").root

    @cached_property
    def _classifier(self) -> tuple[Any, Any, dict[int, int]]:
        """The tokenizer, the model, and the value of each label that has one."""
        option = "evaluation.metrics: model"
        source = locate(self.model, option)
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(source, **SAFE, dtype=torch.float32)
        except (OSError, ValueError) as error:
            first = str(error).strip().split("\n")[0]
            raise ConfigError(f"{option}={self.model}: is no classifier that transformers loads: {first}") from error
        labels = {int(index): str(name).lower() for index, name in model.config.id2label.items()}
        values = {index: 1 for index, name in labels.items() if name.startswith("entail")}
        values |= {index: -1 for index, name in labels.items() if name.startswith("contra")}
        if sorted(values.values()) != [-1, 1]:
            raise ConfigError(
                f"{option}={self.model}: its labels are {', '.join(labels.values())}; one should be called entailment "
                "and one contradiction"
            )
        return tokenizer, model.eval(), values
