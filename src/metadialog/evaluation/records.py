"""The records: one row for each algorithm, topic, episode, number of shots and inner step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from metadialog.episodes import Episode
from metadialog.metrics.quality import ReplyQuality, signatures
from metadialog.runs.records import EPISODES_KEY, LANGUAGE_KEY, METRICS_KEY, write_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one algorithm on one episode after a number of inner steps.

    Attributes:
        split: part of the topics, such as meta_test.
        loss: mean negative log-likelihood of the query's counted tokens, nats.
        tokens: number of counted tokens.
        words: number of reference words that they encode.
        word_perplexity: `exp(total negative log-likelihood / words)`: comparable between tokenizers. The end of each
            response, `<end>`, counts in the likelihood but not as a word.
        token_accuracy: share of the counted tokens that are the model's most likely prediction, 0 to 1.
        rate: factor of the algorithm's inner rates, as chosen on the meta-validation topics.
        selected: whether this number of inner steps was chosen there.
        bleu, chrf: metrics of the replies, 0 to 100; None at steps that are not reported, like those below.
        rouge_l, distinct_1, distinct_2: metrics of the replies, 0 to 1.
        entropy, length_ratio, repetition: metrics of the replies, see `ReplyQuality`.
        in_prompt: number of support dialogues in the prompt, as recovered by `dialogues_of`, where one with a truncated
            turn counts as two; None if the algorithm puts none there.
        left_out: number of support dialogues that did not fit into it.
        prompt_tokens: number of tokens of the support dialogues in the prompt.
        characters: number of characters of the references; None if other tokens are counted too.
        own: values of `evaluation.metrics`, by name.
    """

    algorithm: str
    engine: str
    dataset: str
    seed: int
    split: str
    topic: str
    episode: int
    shots: int
    inner_step: int
    loss: float
    tokens: int
    words: int
    word_perplexity: float
    token_accuracy: float
    rate: float
    selected: bool
    bleu: float | None = None
    rouge_l: float | None = None
    chrf: float | None = None
    distinct_1: float | None = None
    distinct_2: float | None = None
    entropy: float | None = None
    length_ratio: float | None = None
    repetition: float | None = None
    in_prompt: int | None = None
    left_out: int | None = None
    prompt_tokens: int | None = None
    characters: int | None = None
    own: Mapping[str, float] = field(default_factory=dict)


_PROMPT = ["in_prompt", "left_out", "prompt_tokens"]
_QUALITIES = [attribute.name for attribute in fields(ReplyQuality)]


def to_frame(records: Sequence[Record]) -> "pd.DataFrame":
    """Return the records as a table, with a column for each attribute and each additional metric."""
    import pandas as pd

    own = dict.fromkeys(name for record in records for name in record.own)
    columns = [*(name for name in Record.__dataclass_fields__ if name != "own"), *own]
    frame = pd.DataFrame([asdict(record) | dict(record.own) for record in records], columns=columns)
    frame = frame.astype(
        dict.fromkeys((*_QUALITIES, *own), "float64") | dict.fromkeys((*_PROMPT, "characters"), "Int64")
    )
    # These columns only apply to algorithms that put dialogues into the prompt.
    return frame.drop(columns=[name for name in _PROMPT if frame[name].isna().all()])


def record_metadata(episodes: Sequence[Episode], language: str) -> dict[bytes, bytes]:
    """Return the metadata of the records' file.

    They hold the dialogues of each episode, the language (ISO 639 code), which determines what a word is, and the
    signatures of sacrebleu's metrics.
    """
    drawn = [
        {
            "topic": episode.topic,
            "episode": episode.index,
            "shots": episode.shots,
            "support": episode.support_ids,
            "query": episode.query_ids,
        }
        for episode in episodes
    ]
    return {
        EPISODES_KEY: json.dumps(drawn).encode(),
        LANGUAGE_KEY: language.encode(),
        METRICS_KEY: json.dumps(signatures(language)).encode(),
    }


def write_records(path: Path, records: "pd.DataFrame", episodes: Sequence[Episode], language: str) -> None:
    """Write the records, with the metadata of `record_metadata`."""
    write_table(path, records, record_metadata(episodes, language))
