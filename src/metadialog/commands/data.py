"""`metadialog data`: check a data set and describe it; download it first if asked to."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import MinLen
from rich.console import Console

from metadialog.cache.entries import cache_directory
from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.anonymise import anonymise_dialogue
from metadialog.datasets.auto import AutoDataset
from metadialog.datasets.describe import describe, render
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.export import PAGE, Tokens, write_dialogues, write_page
from metadialog.datasets.formats.detection import FORMATS
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError
from metadialog.experiment.config import Node
from metadialog.preparation.topics import Topics, prepare_topics
from metadialog.splits.split import TopicSplit
from metadialog.text import counted

SHOWN_TURNS = 6

_ALL = {"_target_": "metadialog.splits.all_held_out.AllHeldOutSplit", "min_dialogues": 1}


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The options of the command.

    Attributes:
        dataset: the data set.
        split: the split of its topics.
        tokenizer: tokenizer for the token counts of the page.
        download: whether to download the data set first.
        cache: folder of downloads and prepared data; None for the default.
        output: folder to write the dialogues and a page with their statistics to; None to write nothing.
    """

    command: ClassVar[str] = "data"

    dataset: Node
    split: Node
    tokenizer: Node
    download: bool
    cache: str | None
    output: Annotated[str, MinLen(1)] | None


def main(job: Job) -> None:
    """Read a data set and describe it.

    Raises:
        ConfigError: the data set cannot be downloaded, or the split does not fit the topics.
        DataError: the data cannot be read, or are too few for the split.
    """
    config: DataConfig = build(job.config)
    if config.download:
        from metadialog.downloads.download import download

        download(_source(config.dataset), cache_directory(config.cache), job.console)
    source = build(config.dataset)
    if isinstance(source, AutoDataset):
        show_format(source, job.console)
    topics = _topics(config, job.console)
    description = describe(topics.corpus, topics.split)
    job.console.print(render(description))
    if not isinstance(source, AutoDataset):  # its first dialogue has been shown already
        show_dialogue(next(iter(topics.corpus.topics.values()))[0], job.console)
    if config.output is not None:
        folder = _new_folder(config.output)
        files = write_dialogues(topics.corpus, topics.split, folder)
        write_page(topics.corpus, topics.split, description, files, _tokens(config.tokenizer, topics), folder)
        job.console.print(f"written: {folder / PAGE} and {', '.join(files)}", highlight=False, soft_wrap=True)


def show_format(source: AutoDataset, console: Console) -> None:
    """Print the detected format and the first dialogue, anonymised if set.

    Raises:
        DataError: the format is unknown, or the files are malformed.
    """
    detected = source.format
    others = ", ".join(name for name in FORMATS if name != detected.name)
    line = f"read as {detected.title} (dataset.format={detected.name}); other formats: {others}"
    console.print(line, highlight=False, markup=False)
    if (published := source.published_as()) is not None:
        console.print(f"it looks like {published}", highlight=False, markup=False)
    if (not_read := source.not_read()) is not None:
        console.print(not_read, highlight=False, markup=False)
    first = next(source.dialogues())
    show_dialogue(anonymise_dialogue(first) if source.cleaning.anonymise else first, console)


def show_dialogue(dialogue: Dialogue, console: Console) -> None:
    """Print the beginning of a dialogue."""
    console.print()
    console.print(f"a dialogue of topic {dialogue.topic!r}, id {dialogue.id!r}", highlight=False, markup=False)
    for turn in dialogue.turns[:SHOWN_TURNS]:
        console.print(f"  {turn.speaker}: {' / '.join(turn.text.splitlines())}", highlight=False, markup=False)
    if len(dialogue.turns) > SHOWN_TURNS:
        console.print(f"  ... ({counted(len(dialogue.turns), 'turn')})", highlight=False, markup=False)
    console.print()


def _topics(config: DataConfig, console: Console) -> Topics:
    """Return the split topics; if they cannot be split, describe the data anyway.

    Raises:
        ConfigError: the split does not fit the topics.
        DataError: the data cannot be read, or are too few for the split.
    """
    try:
        return prepare_topics(config.dataset, config.split, config.cache)
    except (ConfigError, DataError):
        with suppress(ConfigError, DataError):
            corpus = prepare_topics(config.dataset, _ALL, config.cache).corpus
            console.print(render(describe(corpus, TopicSplit((), (), (), unused=tuple(corpus.topics)))))
        raise


def _tokens(node: Node, topics: Topics) -> Tokens:
    """Return the lengths in tokens, with a tokenizer trained like in `metadialog train`.

    Without topics to train on (`split=all_held_out`), it is trained on all topics.
    """
    from metadialog.preparation.tokens import token_lengths, train_tokenizer

    trained_on = "the meta-train topics" if topics.split.train else "all topics"
    if not topics.split.train:
        topics = replace(topics, split=TopicSplit(train=tuple(topics.corpus.topics), validation=(), test=()))
    lengths = token_lengths(topics, train_tokenizer(node, topics))
    options = ", ".join(f"{name}={value}" for name, value in node.items() if name != "_target_")
    title = f"{str(node['_target_']).rpartition('.')[2]}({options}), trained on {trained_on}"
    return Tokens(title, {topic: (found.per_turn, found.per_dialogue) for topic, found in lengths.items()})


def _new_folder(output: str) -> Path:
    """Create the output folder.

    Raises:
        ConfigError: it is not empty, or cannot be created.
    """
    folder = expand(output, "output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / PAGE).is_file():
            raise ConfigError(f"output={output}: holds other files; name a new or an empty folder")
    except OSError as error:
        raise ConfigError(f"output={output}: cannot be written to: {error.strerror}; name another folder") from error
    return folder


def _source(dataset: Node) -> str:
    """Return the name of the source that a data set is downloaded from."""
    source = getattr(build(dataset), "source", None)
    if source is None:
        raise ConfigError("download=true: this data set cannot be downloaded; leave out download")
    if dataset.get("root") is not None:
        raise ConfigError(f"download=true: dataset.root={dataset['root']} names a local copy; leave one of them out")
    return str(source)
