"""Formats of assistants: Rasa's stories and end-to-end tests, and Dialogflow's agents."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.formats.base import Options, files_of, parsed_json
from metadialog.datasets.local import check_size
from metadialog.errors import DataError

YAML = (".yml", ".yaml")
KINDS = {"stories": "story", "rules": "rule", "test_cases": "test_case"}
"""Lists of dialogues in Rasa's files, and the key of a dialogue's name."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_rasa(path: Path) -> bool:
    """Tell whether a YAML file, or one in a folder, holds stories or test cases."""
    return any(any(key in _content(file) for key in KINDS) for file in files_of(path, *YAML)[:200])


def read_rasa(path: Path, options: Options) -> Iterator[Dialogue]:  # noqa: ARG001 - same signature for all
    """Yield the dialogues of stories and end-to-end tests; the topic is the file that they are in.

    A step that names an intent becomes its first example, and one that names a response its first text, if the folder
    contains these (`nlu`, `responses`); otherwise it is left out.

    Raises:
        DataError: a file is malformed.
    """
    files = files_of(path, *YAML)
    folder = path if path.is_dir() else path.parent
    around = files if path.is_dir() else [*files, *(file for file in files_of(folder, *YAML) if file not in files)]
    said = _examples(around)
    for file in files:
        content = _load(file)
        for key, name in KINDS.items():
            for number, story in enumerate(content.get(key) or [], start=1):
                if not isinstance(story, Mapping) or not isinstance(story.get("steps"), list):
                    raise DataError(f"{file}: {key}[{number - 1}] has no steps; it should be a story of Rasa's")
                turns = [turn for step in story["steps"] if isinstance(step, Mapping) for turn in _turns(step, said)]
                identifier = f"{file.stem}:{story.get(name, number)}"
                yield Dialogue(" ".join(file.stem.replace("_", " ").split()), tuple(turns), f"{identifier}:{number}")


def _turns(step: Mapping[str, Any], said: Mapping[str, str]) -> Iterator[Turn]:
    either = step.get("or")
    if isinstance(either, list) and either and isinstance(either[0], Mapping):
        step = either[0]
    if isinstance(step.get("user"), str):
        yield Turn("user", step["user"].strip())
    elif isinstance(step.get("intent"), str) and step["intent"] in said:
        yield Turn("user", said[step["intent"]])
    for key in ("bot", "utter", "action"):
        text = step.get(key)
        if isinstance(text, str):
            text = text.strip() if key == "bot" else said.get(text)
            if text:
                yield Turn("bot", text)


def _examples(files: list[Path]) -> dict[str, str]:
    """Return the first example of each intent, and the first text of each response."""
    said: dict[str, str] = {}
    for file in files:
        content = _content(file)
        for entry in content.get("nlu") or []:
            if isinstance(entry, Mapping) and isinstance(entry.get("examples"), str) and "intent" in entry:
                first = entry["examples"].strip().splitlines()[0].lstrip("- ").strip()
                said.setdefault(str(entry["intent"]), _without_entities(first))
        responses = content.get("responses") or {}
        for name, texts in responses.items() if isinstance(responses, Mapping) else []:
            given = [text.get("text") for text in texts or [] if isinstance(text, Mapping)]
            if given and isinstance(given[0], str) and given[0].strip():
                said.setdefault(str(name), given[0].strip())
    return said


def _without_entities(example: str) -> str:
    """Return the text of an example: `[Berlin](city)` and `[Berlin]{"entity": "city"}` are `Berlin`."""
    return re.sub(r"\[([^\]]+)\](?:\([^)]*\)|\{[^}]*\})", r"\1", example)


def _content(file: Path) -> Mapping[str, Any]:
    try:
        return _load(file)
    except DataError:
        return {}


def _load(file: Path) -> Mapping[str, Any]:
    try:
        check_size(file)
        content = yaml.load(file.read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe loader
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: not readable as YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, Mapping) else {}


def is_dialogflow(path: Path) -> bool:
    """Tell whether a folder is an agent exported from Dialogflow ES: intents with their user phrases."""
    return path.is_dir() and any(path.rglob("intents/*_usersays_*.json"))


def read_dialogflow(path: Path, options: Options) -> Iterator[Dialogue]:  # noqa: ARG001 - same signature for all
    """Yield a dialogue for each phrase of a user with the first response of its intent, which is the topic.

    Raises:
        DataError: a file is malformed.
    """
    for file in sorted(path.rglob("intents/*_usersays_*.json")):
        stem, _, language = file.stem.rpartition("_usersays_")
        intent = parsed_json(file.with_name(f"{stem}.json"))
        reply = _response(intent, language)
        for number, phrase in enumerate(parsed_json(file)):
            parts = phrase.get("data", []) if isinstance(phrase, Mapping) else []
            text = "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
            if reply and text.strip():
                turns = (Turn("user", text), Turn("bot", reply))
                yield Dialogue(" ".join(str(intent.get("name", stem)).split()), turns, f"{file.stem}:{number}")


def _response(intent: Any, language: str) -> str | None:  # noqa: ANN401 - any JSON value
    for response in intent.get("responses", []) if isinstance(intent, Mapping) else []:
        for message in response.get("messages", []) if isinstance(response, Mapping) else []:
            if isinstance(message, Mapping) and message.get("lang", language) == language:
                speech = message.get("speech") or message.get("textToSpeech")
                first = speech[0] if isinstance(speech, list) and speech else speech
                if isinstance(first, str) and first.strip():
                    return first
    return None
