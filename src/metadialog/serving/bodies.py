"""The bodies of requests and responses, which define the OpenAPI description."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metadialog.inference.results import CurvePoint, DialogueScore
from metadialog.serving.adaptations import Adaptation, Status
from metadialog.serving.limits import Limits

Text = Annotated[str, Field(max_length=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.\-]+$")]
_STRICT = ConfigDict(extra="forbid", strict=True)


class TurnBody(BaseModel):
    """A turn with its speaker."""

    model_config = _STRICT
    speaker: Annotated[str, Field(min_length=1, max_length=200)]
    text: Text


Turns = list[Text | TurnBody]
DialoguesBody = list[Turns]


class GenerationBody(BaseModel):
    """Options of generation; omitted ones are those of the model's evaluation, or the method's defaults."""

    model_config = _STRICT
    name: Literal["greedy", "sampling", "beam"] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(allow_inf_nan=False, gt=0, le=100)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(allow_inf_nan=False, gt=0, le=1)] | None = None
    beams: Annotated[int, Field(ge=1, le=32)] | None = None
    length_penalty: Annotated[float, Field(allow_inf_nan=False, ge=0, le=100)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    repetition_penalty: Annotated[float, Field(allow_inf_nan=False, gt=0, le=100)] | None = None
    no_repeat_ngrams: Annotated[int, Field(ge=0)] | None = None

    def options(self) -> dict[str, Any] | None:
        """Return the given options; None if there are none."""
        return self.model_dump(exclude_none=True) or None


class AdaptationRequest(BaseModel):
    """A request for adaptation, with `dialogues` or the content of a file as `text`."""

    model_config = _STRICT
    model: Name | None = Field(default=None, description="which model; the first one if it is left out")
    dialogues: DialoguesBody | None = None
    text: str | None = Field(default=None, description="JSON, JSON Lines, CSV, the export of a chat, or a turn a line")
    steps: Annotated[int, Field(ge=0)] | None = Field(default=None, description="inner steps; chosen if left out")
    held_out: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        default="auto", description="dialogues that are scored and not adapted to; auto: a quarter of 3 or more"
    )


class ReplyRequest(BaseModel):
    """A request for replies, with the turns so far, oldest first."""

    model_config = _STRICT
    context: Text | Turns
    model: Name | None = None
    adaptation: Name | None = None
    n: Annotated[int, Field(ge=1, le=20)] = 1
    generation: GenerationBody = GenerationBody()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    stream: bool = Field(default=False, description="server-sent events: token, and at last end or error")


class ScoreRequest(BaseModel):
    """A request for scores, with `dialogues` or the content of a file as `text`."""

    model_config = _STRICT
    dialogues: DialoguesBody | None = None
    text: str | None = None
    model: Name | None = None
    adaptation: Name | None = None


class ErrorBody(BaseModel):
    """An error message of one sentence."""

    error: str


class PointBody(BaseModel):
    """A point of the adaptation curve; losses are in nats per token, null if not finite."""

    step: int
    support_loss: float | None
    held_out_loss: float | None

    @classmethod
    def of(cls, point: CurvePoint) -> "PointBody":
        """Return the body of a point."""
        return cls(step=point.step, support_loss=finite(point.support_loss), held_out_loss=finite(point.held_out_loss))


class AdaptationBody(BaseModel):
    """The status of an adaptation."""

    id: str
    model: str
    status: Status
    curve: list[PointBody]
    step: int | None = Field(description="the step that was chosen; null until it is")
    error: str | None

    @classmethod
    def of(cls, adaptation: Adaptation) -> "AdaptationBody":
        """Return the body of an adaptation."""
        return cls(
            id=adaptation.id,
            model=adaptation.model_id,
            status=adaptation.status,
            curve=[PointBody.of(point) for point in list(adaptation.curve)],
            step=None if adaptation.adapted is None else adaptation.adapted.step,
            error=adaptation.error,
        )


class ReplyBody(BaseModel):
    """A reply; the score is the mean log-probability of its tokens, nats, or null."""

    text: str
    score: float | None
    tokens: int


class RepliesBody(BaseModel):
    """The distinct replies, best first."""

    replies: list[ReplyBody]


class ScoreBody(BaseModel):
    """Scores on the responses of dialogues; the loss is in nats per token."""

    loss: float | None
    word_perplexity: float | None
    token_accuracy: float | None
    tokens: int
    words: int

    @classmethod
    def of(cls, score: DialogueScore) -> "ScoreBody":
        """Return the body of a score."""
        return cls(
            loss=finite(score.loss),
            word_perplexity=finite(score.word_perplexity),
            token_accuracy=finite(score.token_accuracy),
            tokens=score.tokens,
            words=score.words,
        )


class ModelBody(BaseModel):
    """An available model."""

    id: str
    name: str
    algorithm: str
    dataset: str
    language: str
    parent: str | None


class ModelsBody(BaseModel):
    """The available models; the first one is the default."""

    models: list[ModelBody]
    limits: Limits


class HealthBody(BaseModel):
    """The health of the server."""

    status: Literal["ok"]


def finite(value: float | None) -> float | None:
    """Return a number, or None if it is not finite, for JSON."""
    return value if value is not None and math.isfinite(value) else None
