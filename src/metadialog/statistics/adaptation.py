"""Summaries of adaptation records: a curve per topic, and the gain over all topics."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def adaptation_curves(records: "pd.DataFrame") -> dict[str, dict[int, float]]:
    """Return each topic's adaptation curve: inner step to mean query loss over its episodes (nats per token).

    Only the largest number of shots is used, and only meta-test topics if there are any.

    Args:
        records: the adaptation records, with the columns `split`, `topic`, `shots`, `inner_step` and `loss`.
    """
    counted = _largest_shots(records)
    means = counted.groupby(["topic", "inner_step"], sort=True, as_index=False)["loss"].mean()
    curves: dict[str, dict[int, float]] = {}
    for topic, step, loss in means.itertuples(index=False):
        curves.setdefault(str(topic), {})[int(step)] = float(loss)
    return curves


def adaptation_gain(records: "pd.DataFrame") -> dict[str, float]:
    """Return the mean loss before adaptation, after the last inner step, and the gain (nats per token).

    The mean is over the episodes with the largest number of shots, on the meta-test topics if there are any. The gain
    is positive if adaptation helps. Empty if there are no records.
    """
    counted = _largest_shots(records)
    if counted.empty:
        return {}
    steps = counted["inner_step"]
    before = float(counted.loc[steps == steps.min(), "loss"].mean())
    after = float(counted.loc[steps == steps.max(), "loss"].mean())
    return {"loss_before": before, "loss_after": after, "gain": before - after}


def _largest_shots(records: "pd.DataFrame") -> "pd.DataFrame":
    held_out = records.loc[records["split"] == "meta_test"]
    counted: pd.DataFrame = records if held_out.empty else held_out
    chosen: pd.DataFrame = counted.loc[counted["shots"] == counted["shots"].max()]
    return chosen
