"""The model card of an exported model, as used by the Hugging Face hub."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import yaml
from pydantic import ConfigDict, StringConstraints, TypeAdapter

from metadialog.config import build
from metadialog.evaluation.scoring import word_perplexity
from metadialog.runs.atomic import write_atomically
from metadialog.runs.layout import MODEL_CARD
from metadialog.runs.reading import adapted
from metadialog.text import counted

if TYPE_CHECKING:
    import pandas as pd


_Number = Annotated[str, StringConstraints(pattern=r"^\d{1,9}$")]
_STRICT = ConfigDict(extra="forbid")

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True, slots=True)
class AdaptedTo:
    """The adaptation of an adapted model.

    Attributes:
        parent: name of the original model.
        dialogues: number of dialogues that it was adapted to.
        held_out: number of held-out dialogues.
        steps: inner steps.
        loss_before: loss on the held-out dialogues before adaptation, nats per token; on the dialogues adapted to if
            none were held out.
        loss_after: the same after adaptation.
        languages: ISO 639 codes of the languages of the dialogues that it was adapted to, the latest first, followed by
            that of the training data of the original model; empty if unknown.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    parent: str
    dialogues: int
    held_out: int
    steps: int
    loss_before: float
    loss_after: float
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class About:
    """The content of a model card.

    Attributes:
        name: name of the model, of letters, digits, dots and dashes.
        dataset: data set that it was trained on.
        language: ISO 639 code of the texts.
        algorithm: algorithm that it was trained with.
        seed: seed of the training; None if unknown.
        results: word perplexity on held-out topics by number of inner steps, with the most shots.
        shots: number of support dialogues of the results.
        adapted_to: the adaptation; None if it was not adapted.
        base: name on the hub of the pretrained model that it extends; None if there is none.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    dataset: str = "unknown data"
    language: str = "en"
    algorithm: str = "unknown"
    seed: int | None = None
    results: Mapping[_Number, float] | None = None
    shots: int | None = None
    adapted_to: AdaptedTo | None = None
    base: str | None = None

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639 codes of the languages of the texts, those of the dialogues that it was adapted to first."""
        return (self.adapted_to.languages if self.adapted_to is not None else ()) or (self.language,)

    def to_dict(self) -> dict[str, Any]:
        """Return the content as JSON-compatible values."""
        return asdict(self)


def about_run(config: Mapping[str, Any]) -> About:
    """Return the content for the model of a run, given the run's resolved config."""
    algorithm = str(config["algorithm"].get("name", "model"))
    base = _pretrained_base(config.get("model", {}))
    if "dataset" not in config:
        return About(slug(algorithm), algorithm=algorithm, base=base)
    dataset = build(config["dataset"])
    seed = config.get("seed")
    name = f"{algorithm}-{dataset.name}" + ("" if seed is None else f"-seed{seed}")
    return About(slug(name), str(dataset.name), str(dataset.language), algorithm, seed, base=base)


def _pretrained_base(model: Mapping[str, Any]) -> str | None:
    """Return the name on the hub of the pretrained model that a config node of a model names."""
    if not str(model.get("_target_", "")).endswith(".PretrainedModel"):
        return None
    path = model.get("path")
    if path is None:
        return SMOLLM2
    is_name = re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)) is not None and not Path(str(path)).exists()
    return str(path) if is_name else None


def about_from(content: object, where: Path) -> About:
    """Return the content from the result of `About.to_dict`.

    Raises:
        RunError: it is something else.
    """
    about: About = adapted(content, TypeAdapter(About), f"{where}: about", "description of a model")
    return about


def slug(name: str) -> str:
    """Return a name with only the characters that the hub allows: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+|\.\.+|--+", "-", name, flags=re.ASCII).strip(".-")[:96] or "model"


def write_results(folder: Path, config: Mapping[str, Any], records: "pd.DataFrame") -> None:
    """Write the card of a run's model again, with the results of its evaluation.

    Args:
        folder: folder of the exported model.
        config: resolved config of the run.
        records: records of the evaluation.
    """
    most = records[records["shots"] == records["shots"].max()]
    results: dict[str, float] = {}
    for step, part in most.groupby("inner_step"):
        nats = float((part["loss"] * part["tokens"]).sum())
        results[str(step)] = word_perplexity(nats, int(part["words"].sum()))
    shown = {step: value for step, value in results.items() if math.isfinite(value)}
    if shown:
        write_card(folder, replace(about_run(config), results=shown, shots=int(most["shots"].iloc[0])))


def write_card(folder: Path, about: About) -> None:
    """Write the card into the folder of an exported model."""
    write_atomically(folder / MODEL_CARD, card(about))


def card(about: About) -> str:
    """Return the card as Markdown, with the hub's metadata before it."""
    metadata = yaml.safe_dump(_metadata(about), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{metadata}---",
        f"# {about.name}",
        _what(about),
        _use(about),
        _results(about),
        _limits(about),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(about: About) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "library_name": "metadialog",
        "pipeline_tag": "text-generation",
        "language": list(about.languages),
        "tags": ["metadialog", "dialogue", "few-shot", "meta-learning", about.algorithm],
    }
    if about.adapted_to is not None:
        metadata["base_model"] = about.adapted_to.parent
    elif about.base is not None:
        metadata["base_model"] = about.base
    if about.results:
        steps, value = list(about.results.items())[-1]
        metadata["model-index"] = [
            {
                "name": about.name,
                "results": [
                    {
                        "task": {"type": "text-generation", "name": f"dialogue, {_shots(about)}"},
                        "dataset": {"type": slug(about.dataset), "name": about.dataset},
                        "metrics": [
                            {
                                "type": "perplexity",
                                "name": f"word perplexity, {counted(int(steps), 'inner step')}",
                                "value": value,
                            }
                        ],
                    }
                ],
            }
        ]
    return metadata


def _what(about: About) -> str:
    seed = "" if about.seed is None else f" with seed {about.seed}"
    trained = (
        f"A dialogue model, trained by `{about.algorithm}` on the topics of {about.dataset}{seed}, to be adapted to a "
        "new topic by a few example dialogues and a few gradient steps."
    )
    if about.base is not None:
        trained += f" It extends the pretrained model `{about.base}`, whose weights come from its own files."
    adapted = about.adapted_to
    if adapted is None:
        return trained
    return (
        f"Adapted from `{adapted.parent}` to {counted(adapted.dialogues, 'dialogue')} in"
        f" {counted(adapted.steps, 'inner step')}.\n\nThe parent: {trained[0].lower()}{trained[1:]}"
    )


def _use(about: About) -> str:
    return f"""## Use

```python
import metadialog as md

model = md.load_model("{about.name}")          # this folder
print(model.reply("Hello, how are you?"))
mine = model.adapt("my_dialogues.jsonl")       # a few dialogues of your topic
print(mine.reply("Hello, how are you?"))
```

Or `metadialog chat run={about.name}`. The weights are safetensors, the tokenizer is one of the `tokenizers` library,
and `config.json` names the classes and their options; nothing is unpickled."""


def _results(about: About) -> str:
    adapted = about.adapted_to
    lines = []
    if adapted is not None:
        scored = f"{counted(adapted.held_out, 'held-out dialogue')}" if adapted.held_out else "the dialogues adapted to"
        losses = f"{adapted.loss_before:.3f} nats a token before adaptation, {adapted.loss_after:.3f} after"
        lines.append(f"Loss on {scored}: {losses}.")
    if about.results:
        header = " | ".join("before" if step == "0" else counted(int(step), "step") for step in about.results)
        row = " | ".join(f"{value:,.1f}" for value in about.results.values())
        of = "of the parent " if adapted else ""
        lines.append(
            f"Word perplexity {of}on held-out topics of {about.dataset}, {_shots(about)}, by inner steps:\n\n"
            f"| {header} |\n|{'---:|' * len(about.results)}\n| {row} |"
        )
    return "## Results\n\n" + "\n\n".join(lines) if lines else ""


def _limits(about: About) -> str:
    return (
        "## Limits\n\nIt imitates the style of its dialogues; it knows no facts, and what it says may be wrong or "
        f"make no sense. {_languages(about)} It was not filtered, aligned or tested "
        "for safety: its replies should not be relied on without human review."
    )


def _languages(about: About) -> str:
    own, *before = about.languages
    if not before:
        return f"It speaks the language of its data ({own})."
    learned = ", ".join(before)
    return f"It was adapted to dialogues in one language ({own}) after it had learned another one ({learned})."


def _shots(about: About) -> str:
    return "unknown shots" if about.shots is None else counted(about.shots, "shot")


def dump(value: Mapping[str, Any]) -> str:
    """Return the JSON format of the files of an exported model."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
