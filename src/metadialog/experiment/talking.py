"""The options of the commands that put a trained model to use: what their yamls name in `_target_`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, MinLen

from metadialog.experiment.config import Device, Directory, Node, Seed, Threads

File = Directory
Count = Annotated[int, Ge(0), Le(10**6)]


@dataclass(frozen=True, kw_only=True)
class UseConfig:
    """A trained model, and where it computes.

    Attributes:
        run: the directory of a run, or the folder of an exported or adapted model.
        seed: of what is drawn.
        device: to compute on.
        threads: CPU threads; None for one a core.
    """

    command: ClassVar[str]

    run: Directory
    seed: Seed
    device: Device
    threads: Threads | None


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(UseConfig):
    """`metadialog adapt`: adapt a model to dialogues, and keep it.

    Attributes:
        dialogues: file of dialogues; `-` for the standard input.
        output: folder to write to.
        held_out: dialogues that are scored and not adapted to.
        steps: inner steps; None to choose them.
        rate: what the inner rates are multiplied by; None to choose it.
        language: of the dialogues, for the model card; None to tell it by their script.
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
        dialogues: file of dialogues to adapt to at the beginning; None for none.
        generation: how replies are made; None for the model's own way.
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
        dialogues: file of dialogues to adapt to before; None for none.
        n: replies to each context.
        scores: whether to write mean log-probabilities too.
        batch: contexts that are answered together, at most.
        generation: how replies are made; None for the model's own way.
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
        host: address to listen at.
        port: to listen at; 0 for a free one.
        token_file: file of the token that clients have to send; None for none, on this machine alone.
        upload_mib: see `metadialog.serving.limits.Limits`, as what follows.
        dialogues: of a request.
        turns: of a request.
        steps: of an adaptation.
        tokens: of a reply.
        waiting_adaptations: at once.
        waiting_replies: at once.
        adaptations: that are kept.
        adaptations_mib: of those that are kept.
        device: to compute on.
        threads: CPU threads; None for one a core.
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
