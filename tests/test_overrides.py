import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog import compose
from metadialog.errors import ConfigError
from metadialog.hydra_internals import OverridesParser
from metadialog.overrides import literal, quote_foreign, spelled_out


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("split.train=[火车票]", ["火车票"]),
        ("split.train=[火车票, hotel,café au lait]", ["火车票", "hotel", "café au lait"]),
        ("dataset.path=/x/Übung.txt", "/x/Übung.txt"),
        ("split.train=['火车票']", ["火车票"]),
        ('split.train=["火车票"]', ["火车票"]),
        ("split.train=[hotel]", ["hotel"]),
    ],
)
def test_words_of_other_alphabets_need_no_quotes(argument: str, value: object) -> None:
    assert OverridesParser.create().parse_override(quote_foreign(argument)).value() == value


@pytest.mark.parametrize("argument", ["-m", "--config-dir=Übung", "a=b", "a='ü'", "ü=ä"])
def test_what_is_no_such_override_stays(argument: str) -> None:
    assert quote_foreign(argument) == argument or argument.startswith("--")


@given(
    st.lists(st.text(alphabet="abc火车éß ", min_size=1).filter(lambda text: text == text.strip() and text), min_size=1)
)
def test_lists_come_back(names: list[str]) -> None:
    argument = f"x=[{','.join(names)}]"
    if not argument.isascii():
        found = OverridesParser.create().parse_override(quote_foreign(argument)).value()
        assert found == names
    assert OverridesParser.create().parse_override(f"x={literal(names)}").value() == names


def test_several_loggers_are_typed_as_a_list() -> None:
    typed = ["algorithm=maml", "logger=[wandb,tensorboard]", "logger.wandb.project=mine"]
    spelled = ["algorithm=maml", "logger=several", "logger.use=[wandb,tensorboard]", "logger.wandb.project=mine"]
    assert spelled_out(typed) == spelled
    use = compose("train", typed).config["logger"]["use"]
    assert use == ["wandb", "tensorboard"]
    with pytest.raises(ConfigError, match=r"logger\.use"):
        compose("train", ["logger=[wandb,csv]"])
