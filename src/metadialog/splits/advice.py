"""What can still be done with few dialogues."""

from collections.abc import Mapping

PARTS = 3


def what_can_be_done(sizes: Mapping[str, int]) -> str:
    """Say with which options so few dialogues can be trained or evaluated on.

    Args:
        sizes: number of dialogues of each topic.
    """
    ordered = sorted(sizes.values(), reverse=True)
    if len(ordered) >= PARTS and ordered[PARTS - 1] >= 2:
        least = ordered[PARTS - 1]
        shots = least // 2
        topics = sum(size >= least for size in ordered)
        return (
            f"split.min_dialogues={least} sampler.shots={shots} sampler.queries={least - shots} evaluation.queries="
            f"{least - shots} takes {topics} topics, and split=leave_one_topic_out holds each of them out in turn; or "
            f"add topics"
        )
    if ordered and ordered[0] >= 2:
        other = f"a model trained on other data can be used: {evaluating(ordered[0])}"
        return f"to train takes {PARTS} topics of 2 dialogues or more; {other}"
    return f"to train takes {PARTS} topics of 2 dialogues or more: lower split.min_dialogues, or add topics"


def evaluating(dialogues: int) -> str:
    """Say how a trained model is adapted to, or evaluated on, a topic of so many dialogues."""
    return (
        f"adapt it by metadialog adapt run=DIR, or hold each dialogue out in turn by metadialog evaluate run=DIR "
        f"split=all_held_out split.min_dialogues={dialogues} evaluation.leave_one_out=true evaluation.queries=1 "
        f"evaluation.episodes_per_topic=1 evaluation.shots=[{dialogues - 1}]"
    )
