"""Typed options of the commands that use a trained model; their yamls name them in `_target_`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, MinLen

from metadialog.experiment.config import Device, Directory, Node, Seed, Threads

File = Directory
Count = Annotated[int, Ge(0), Le(10**6)]


@dataclass(frozen=True, kw_only=True)
class UseConfig:
    """A trained model and the device it runs on.

    Attributes:
        run: the directory of a run, or the folder of an exported or adapted model.
        seed: random seed.
        device: device to compute on.
        threads: number of CPU threads; None for one per core.
    """

    command: ClassVar[str]

    run: Directory
    seed: Seed
    device: Device
    threads: Threads | None


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(UseConfig):
    """`metadialog adapt`: adapt a model to dialogues and save it.

    Attributes:
        dialogues: file of dialogues; `-` for the standard input.
        output: folder to write to.
        held_out: number of dialogues to score instead of adapting to them.
        steps: number of inner steps; None to choose it.
        rate: factor of the inner rates; None to choose it.
        language: language of the dialogues, for the model card; None to detect it by their script.
    """

    command: ClassVar[str] = "adapt"

    dialogues: File
    output: Directory
    held_out: Literal["auto"] | Count
    steps: Count | None
    rate: Annotated[float, Gt(0), Le(1e6)] | None
    language: str | None


@dataclass(frozen=True, kw_only=True)
class ChatConfig(UseConfig):
    """`metadialog chat`: a conversation.

    Attributes:
        dialogues: file of dialogues to adapt to first; None for no adaptation.
        generation: how replies are generated; None for the model's own options.
    """

    command: ClassVar[str] = "chat"

    dialogues: File | None
    generation: Node | None


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(UseConfig):
    """`metadialog generate`: replies to contexts.

    Attributes:
        input: file of contexts, one JSON object a line; `-` for the standard input.
        output: file of replies, one JSON object a line; `-` for the standard output, as they come.
        dialogues: file of dialogues to adapt to first; None for no adaptation.
        n: number of replies to each context.
        scores: whether to also write mean log-probabilities.
        batch: maximum number of contexts that are answered together.
        generation: how replies are generated; None for the model's own options.
    """

    command: ClassVar[str] = "generate"

    input: File
    output: File
    dialogues: File | None
    n: Annotated[int, Ge(1), Le(100)]
    scores: bool
    batch: Annotated[int, Ge(1), Le(1024)]
    generation: Node | None


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """`metadialog serve`: models behind HTTP.

    Attributes:
        run: the directory of a run or the folder of an exported or adapted model, or several of these.
        host: address to listen on.
        port: port to listen on; 0 for a free one.
        token_file: file with the token that clients must send; None for no token, allowed only for this machine.
        upload_mib: see `metadialog.serving.limits.Limits`, also for the options below.
        dialogues: dialogues in a request.
        turns: turns in a request.
        steps: steps of an adaptation.
        tokens: tokens of a reply.
        waiting_adaptations: adaptations waiting at once.
        waiting_replies: replies waiting at once.
        adaptations: adapted models kept.
        adaptations_mib: memory of the adapted models kept.
        device: device to compute on.
        threads: number of CPU threads; None for one per core.
    """

    command: ClassVar[str] = "serve"

    run: Directory | Annotated[list[Directory], Len(1)]
    host: Annotated[str, MinLen(1)]
    port: Annotated[int, Ge(0), Le(65535)]
    token_file: File | None
    upload_mib: Annotated[float, Gt(0), Le(1e5)]
    dialogues: Annotated[int, Ge(1), Le(10**6)]
    turns: Annotated[int, Ge(2), Le(10**6)]
    steps: Count
    tokens: Annotated[int, Ge(1), Le(10**9)]
    waiting_adaptations: Annotated[int, Ge(1), Le(10**6)]
    waiting_replies: Annotated[int, Ge(1), Le(10**6)]
    adaptations: Annotated[int, Ge(1), Le(10**6)]
    adaptations_mib: Annotated[float, Gt(0), Le(1e9)]
    device: Device
    threads: Threads | None
