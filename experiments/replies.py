"""Twenty replies of a run before and after adaptation, chosen by a rule: at equal distances in `samples.jsonl`.

    python experiments/replies.py RUN OUTPUT.md

Of the samples with the most shots, in the order of the evaluation (topics by name, then episodes, then turns).
"""

import json
import sys
from pathlib import Path

from metadialog.inference.adapting import evenly
from metadialog.text import counted

COUNT = 20


def replies(samples: Path) -> str:
    """Return the table of replies."""
    with samples.open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    shots = max(sample["shots"] for sample in found)
    kept = [sample for sample in found if sample["shots"] == shots]
    chosen = [kept[place] for place in evenly(len(kept), COUNT)]
    rows = [
        f"| {cell(one['topic'])} | {cell(one['context'])} | {cell(one['reference'])} | {cell(one['before'])} | "
        f"{cell(one['after'])} |"
        for one in chosen
    ]
    said = f"{len(chosen)} of {counted(len(kept), 'sample')} with {counted(shots, 'shot')}"
    return "\n".join(
        [
            f"{said}, after {counted(kept[0]['inner_step'], 'inner step')}.",
            "",
            "| topic | context | said | before | after |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def cell(text: str) -> str:
    r"""Return a text as a cell of a Markdown table."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return "<br>".join(" ".join(line.split()) for line in escaped.strip().splitlines())


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(replies(Path(sys.argv[1]) / "samples.jsonl"), encoding="utf-8")
