import pytest

from metadialog.errors import ConfigError
from metadialog.evaluation.protocol import AdaptationProtocol


def protocol(
    shots: list[int],
    steps: int,
    report_steps: list[int],
    queries: int = 2,
    episodes_per_topic: int = 1,
    *,
    leave_one_out: bool = False,
) -> AdaptationProtocol:
    return AdaptationProtocol(
        shots=shots,
        queries=queries,
        steps=steps,
        report_steps=report_steps,
        episodes_per_topic=episodes_per_topic,
        max_tokens=512,
        seed=0,
        rates=None,
        selection_episodes=1,
        leave_one_out=leave_one_out,
    )


def test_shots_and_steps_are_in_order_and_once() -> None:
    made = protocol([5, 1, 5, 0], 3, [3, 0, 3])
    assert made.shots == [0, 1, 5]
    assert made.report_steps == [0, 3]


@pytest.mark.parametrize(("queries", "episodes"), [(2, 1), (1, 5)])
def test_leaving_one_out_leaves_nothing_to_draw(queries: int, episodes: int) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation\.leave_one_out=true: .* should both be 1$"):
        protocol([1], 1, [0], queries=queries, episodes_per_topic=episodes, leave_one_out=True)


def test_a_report_beyond_the_last_step_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        protocol([1], 3, [0, 5, 9])
    assert str(caught.value) == (
        "evaluation.report_steps: [5, 9] is beyond evaluation.steps=3; raise evaluation.steps, or give "
        "evaluation.report_steps=[0]"
    )
