"""The C-score with a small random classifier: the tests verify how its answers are counted."""

import json
from pathlib import Path

import pytest
import torch

from metadialog.errors import ConfigError, RunError
from metadialog.evaluation.consistency import Consistency

transformers = pytest.importorskip("transformers")

FACTS = {"hunter": ["i like to hunt", "i have a dog", "my holiday is halloween"], "nurse": ["i work in a hospital"]}
REPLIES = ["i hunt with my dog", "hello , how are you today ?", ""]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *sorted({w for s in [*FACTS["hunter"], *REPLIES] for w in s.split()}),
]
LABELS = ["Contradiction", "entailment", "neutral"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("nli"), LABELS)


def save(folder: Path, labels: list[str]) -> Path:
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    torch.manual_seed(1)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(json.dumps(FACTS))
    return path


def test_the_score_is_the_mean_over_replies_of_the_sum_over_sentences(folder: Path, facts: Path) -> None:
    metric = Consistency(model=str(folder), facts=str(facts), batch=2)
    metric.check(["hunter", "nurse"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    verdicts = []
    for reply in REPLIES:
        for sentence in FACTS["hunter"]:
            with torch.no_grad():
                label = int(model(**tokenizer(reply, sentence, return_tensors="pt")).logits.argmax())
            verdicts.append({0: -1, 1: 1, 2: 0}[label])
    assert len(set(verdicts)) > 1, "the classifier should not give one answer to everything"
    assert metric.score(REPLIES, REPLIES, "en", "hunter") == pytest.approx(sum(verdicts) / len(REPLIES))


def test_a_topic_without_sentences_is_refused_before_training(folder: Path, facts: Path) -> None:
    with pytest.raises(ConfigError, match=r"no sentences of the topic 'cook' \(of 1 of 2 held-out topics\)"):
        Consistency(model=str(folder), facts=str(facts)).check(["hunter", "cook"])


def test_a_damaged_file_of_sentences_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"hunter": "i like to hunt"}')
    with pytest.raises(RunError, match=r"facts\.json.*hunter"):
        Consistency(model=str(folder), facts=str(tmp_path / "facts.json")).check(["hunter"])


def test_a_classifier_of_something_else_is_refused(facts: Path, tmp_path: Path) -> None:
    save(tmp_path, ["negative", "positive"])
    with pytest.raises(ConfigError, match="its labels are negative, positive"):
        Consistency(model=str(tmp_path), facts=str(facts)).check(["hunter"])


def test_a_folder_that_is_no_model_is_refused(facts: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        Consistency(model=str(tmp_path), facts=str(facts)).check(["hunter"])
