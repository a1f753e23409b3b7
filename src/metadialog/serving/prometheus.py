"""Counters in the format of Prometheus (text exposition format 0.0.4)."""

from collections.abc import Mapping

from metadialog.serving.adaptations import Adaptations
from metadialog.serving.batching import Batcher


def exposition(batcher: Batcher, adaptations: Adaptations, responses: Mapping[tuple[str, int], int]) -> str:
    """Return all counters as text.

    Args:
        batcher: generates replies.
        adaptations: runs adaptations.
        responses: number of responses by path and status code.
    """
    counts = batcher.counts
    lines = [
        *_metric("replies_total", "counter", "replies that were generated", counts.replies),
        *_metric("reply_tokens_total", "counter", "tokens that were generated", counts.tokens),
        *_metric("reply_steps_total", "counter", "steps that these took, each for several replies", counts.steps),
        *_metric("replies_pending", "gauge", "replies that are waited for", len(batcher)),
        "# HELP metadialog_first_token_seconds from a request to the first token of its reply",
        "# TYPE metadialog_first_token_seconds summary",
        f"metadialog_first_token_seconds_sum {counts.first_token_seconds:.6f}",
        f"metadialog_first_token_seconds_count {counts.first_tokens}",
        *_metric("adaptations_total", "counter", "adaptations that have finished", adaptations.finished),
        *_metric(
            "adaptations_dropped_total", "counter", "adaptations that were dropped for others", adaptations.dropped
        ),
        *_metric("adaptations_pending", "gauge", "adaptations that wait or run", adaptations.pending),
        *_metric("adaptations_kept", "gauge", "adaptations that are in memory", len(adaptations)),
        "# HELP metadialog_responses_total responses by path and status code",
        "# TYPE metadialog_responses_total counter",
        *(
            f'metadialog_responses_total{{path="{_escaped(path)}",status="{status}"}} {count}'
            for (path, status), count in sorted(responses.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, about: str, value: float) -> list[str]:
    name = f"metadialog_{name}"
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", f"{name} {value}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
