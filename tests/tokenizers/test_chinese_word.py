from collections.abc import Callable
from pathlib import Path

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dailydialog import DailyDialogDataset
from metadialog.tokenizers.chinese_word import ChineseWordTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

Published = Callable[[str], Path]


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text)]


def test_words_of_real_dialogues_are_found(published: Published) -> None:
    dataset = DailyDialogDataset(root=str(published("dailydialog")), language="zh", part="all")
    texts = [turn.text for dialogue in dataset.dialogues() for turn in dialogue.turns]
    tokenizer = ChineseWordTokenizer(vocab_size=4000).train(texts)
    assert pieces(tokenizer, "我很紧张，你愿意做我的妻子吗？") == [
        "我", "很", "紧张", "，", "你", "愿意", "做", "我", "的", "妻子", "吗", "？",
    ]  # fmt: skip
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts[::11])
    # Words give shorter sequences than characters.
    assert sum(len(tokenizer.encode(text)) for text in texts) < 0.8 * sum(map(len, texts))


def test_words_that_are_not_known_are_spelled() -> None:
    dialogues = ChatterbotDataset(language="chinese").dialogues()
    tokenizer = ChineseWordTokenizer(vocab_size=600).train(turn.text for d in dialogues for turn in d.turns)
    assert tokenizer.vocab_size <= 600
    assert pieces(tokenizer, "你好") == ["你好"]
    assert pieces(tokenizer, "你齉")[0] == "你"
    assert tokenizer.decode(tokenizer.encode("你齉")) == "你齉"
    assert len(tokenizer.encode("齉")) == 3  # its bytes


def test_a_saved_tokenizer_needs_no_jieba(tmp_path: Path) -> None:
    tokenizer = ChineseWordTokenizer(vocab_size=500).train(["我喜欢北京。", "我喜欢你。", "北京很大。"])
    tokenizer.save(tmp_path / "tokenizer.json")
    assert pieces(Tokenizer.load(tmp_path / "tokenizer.json"), "我喜欢北京") == ["我", "喜欢", "北京"]
