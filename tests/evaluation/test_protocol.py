import pytest

from metadialog.errors import ConfigError
from metadialog.evaluation.protocol import AdaptationProtocol


def test_shots_and_steps_are_in_order_and_once() -> None:
    protocol = AdaptationProtocol(
        shots=[5, 1, 5, 0], queries=2, steps=3, report_steps=[3, 0, 3], episodes_per_topic=1, seed=0
    )
    assert protocol.shots == [0, 1, 5]
    assert protocol.report_steps == [0, 3]


def test_a_report_beyond_the_last_step_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^evaluation.report_steps: \[5, 9\] is beyond evaluation.steps=3; raise"):
        AdaptationProtocol(shots=[1], queries=2, steps=3, report_steps=[0, 5, 9], episodes_per_topic=1, seed=0)
