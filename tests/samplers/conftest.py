from collections.abc import Mapping, Sequence

import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

MIN_DIALOGUES = 12


@pytest.fixture(scope="session")
def topics() -> Mapping[str, Sequence[Dialogue]]:
    """The topics of English chatterbot with enough dialogues for the episodes of the tests."""
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    return {topic: found for topic, found in corpus.topics.items() if len(found) >= MIN_DIALOGUES}


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer with one id per byte: easy to check, and independent of the corpus."""
    return CharacterTokenizer(vocab_size=261).train([])
