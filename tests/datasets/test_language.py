import pytest

from metadialog.datasets.language import check_language
from metadialog.errors import ConfigError
from metadialog.metrics.quality import reply_quality
from metadialog.text import words

TEXTS = {
    "zho": "今天天气很好我们走吧",
    "cmn": "今天天气很好我们走吧",
    "jpn": "今日はとてもいい天気ですね",
    "tha": "วันนี้อากาศดีมาก",
    "mya": "ယနေ့ရာသီဥတုသာယာသည်",
    "khm": "ថ្ងៃនេះអាកាសធាតុល្អណាស់",
    "lao": "ມື້ນີ້ອາກາດດີຫຼາຍ",
    "bod": "དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག",
}


@pytest.mark.parametrize("code", TEXTS)
def test_a_perfect_reply_is_perfect_in_every_language(code: str) -> None:
    text = TEXTS[code]
    quality = reply_quality([text], [text], check_language(code))
    assert quality.bleu == pytest.approx(100)
    assert quality.rouge_l == pytest.approx(1)
    assert words(text) == list(text)


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("en", "en"),
        ("eng", "en"),
        ("deu", "de"),
        ("ger", "de"),
        ("pes", "fa"),
        ("gsw", "gsw"),
        ("bur", "my"),
        ("hne", "hne"),
    ],
)
def test_codes_of_three_letters(code: str, known: str) -> None:
    assert check_language(code) == known


@pytest.mark.parametrize("code", ["english", "EN", "e", "zh-CN", ""])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="should be a language code"):
        check_language(code)


@pytest.mark.parametrize("code", ["xx", "cn", "jp", "zz", "jap", "xyz", "zzz", "und", "mul", "zxx"])
def test_letters_of_no_language_are_refused(code: str) -> None:
    with pytest.raises(ConfigError, match=f"dataset.language={code}: is the code of no language"):
        check_language(code)
