"""The protocol by which every algorithm is evaluated on the held-out topics."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field

from metadialog.config import build, check
from metadialog.errors import ConfigError
from metadialog.evaluation.records import Record
from metadialog.metrics.base import ReplyMetric
from metadialog.options import FROM_YAML, Options
from metadialog.samplers.exchanges import MIN_TOKENS
from metadialog.statistics.metrics import METRICS, OWN_NAME

Count = Annotated[int, Ge(0), Le(10**6)]
Rate = Annotated[float, Gt(0), Le(1e6)]
Average = Literal["episodes", "tokens"]
MetricName = Annotated[str, Field(pattern=f"^{OWN_NAME.pattern}$")]


class AdaptationProtocol(Options):
    """Adapt to episodes of held-out topics and score each step: the same episodes for every algorithm.

    Args:
        shots: numbers of support dialogues; each has its own adaptation curve.
        queries: number of query dialogues of an episode, the same for all shots.
        steps: number of inner steps of the adaptation curve.
        report_steps: inner steps at which replies are generated and compared with the references.
        episodes_per_topic: number of episodes drawn from each held-out topic.
        max_tokens: maximum number of tokens of a query's prompt, and of its reference; longer ones are truncated.
        seed: seed of the draw; another seed gives other episodes, so all runs of a comparison need the same.
        rates: inner rates to choose from, as multiples of the algorithm's own; together with the inner steps up to
            `steps` they form the grid that is searched on the meta-validation topics. None to choose nothing.
        selection_episodes: number of episodes of each meta-validation topic, for each of `shots`, to choose on.
        average: how the losses of the meta-validation episodes are averaged for that choice: over `episodes`, each the
            mean over its own tokens, so that all count equally, or over all `tokens`, as tables pool them.
        leave_one_out: instead of drawing queries, make an episode for each dialogue of a topic, with that dialogue as
            its query and support dialogues from the others (Madotto et al. 2019).
        metrics: additional reply metrics, as config nodes by name; see `ReplyMetric`.

    Attributes:
        own_metrics: these metrics, by name.
    """

    shots: Annotated[list[Count], Len(1)]
    queries: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    steps: Count = FROM_YAML
    report_steps: Annotated[list[Count], Len(1)] = FROM_YAML
    episodes_per_topic: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    max_tokens: Annotated[int, Ge(MIN_TOKENS), Le(10**6)] = FROM_YAML
    seed: Count = FROM_YAML
    rates: Annotated[list[Rate], Len(1)] | None = FROM_YAML
    selection_episodes: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    leave_one_out: bool = FROM_YAML
    average: Average = "episodes"
    metrics: dict[MetricName, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        """Check the options, sort them, and build the metrics.

        Raises:
            ConfigError: options are incompatible, or a metric is not one.
        """
        if self.leave_one_out and (self.queries, self.episodes_per_topic) != (1, 1):
            raise ConfigError(
                f"evaluation.leave_one_out=true: every dialogue is the only query of one episode; evaluation.queries="
                f"{self.queries} and evaluation.episodes_per_topic={self.episodes_per_topic} should both be 1"
            )
        steps = self.steps
        late = [step for step in self.report_steps if step > steps]
        if late:
            raise ConfigError(
                f"evaluation.report_steps: {late} is beyond evaluation.steps={steps}; raise evaluation.steps, or give "
                f"evaluation.report_steps={[step for step in self.report_steps if step <= steps] or [steps]}"
            )
        self.shots = sorted(set(self.shots))
        self.report_steps = sorted(set(self.report_steps))
        self.rates = None if self.rates is None else sorted(set(self.rates))
        self.own_metrics = {name: _metric(name, node) for name, node in (self.metrics or {}).items()}


def _metric(name: str, node: Mapping[str, Any]) -> ReplyMetric:
    if name in Record.__dataclass_fields__ or name in METRICS:
        raise ConfigError(
            f"evaluation.metrics.{name}: the records already have a column of this name; choose another name"
        )
    check(node, f"evaluation.metrics.{name}")
    metric = build(node)
    if not isinstance(metric, ReplyMetric):
        raise ConfigError(
            f"evaluation.metrics.{name}: {type(metric).__name__} is not a reply metric; it should be derived from "
            "metadialog.metrics.base.ReplyMetric"
        )
    return metric
