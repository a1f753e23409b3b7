"""The REST interface, and the page at its root."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from metadialog.datasets.dialogue import MIN_TURNS, Dialogue
from metadialog.datasets.formats.ending import ending_of
from metadialog.errors import MetadialogError
from metadialog.inference.adapting import divide
from metadialog.inference.dialogues import Context, as_dialogues, read_content
from metadialog.inference.generations import as_generation
from metadialog.inference.model import MAX_STEPS, AdaptableModel
from metadialog.serving.adaptations import Adaptation, Adaptations
from metadialog.serving.batching import Batcher, PendingReply
from metadialog.serving.bodies import (
    AdaptationBody,
    AdaptationRequest,
    DialoguesBody,
    ErrorBody,
    HealthBody,
    ModelBody,
    ModelsBody,
    RepliesBody,
    ReplyBody,
    ReplyRequest,
    ScoreBody,
    ScoreRequest,
    Turns,
    finite,
)
from metadialog.serving.events import progress, reply_body, reply_events, to_loop, whole_reply
from metadialog.serving.guard import Guard
from metadialog.serving.limits import Limits, RefusedError, over, too_many
from metadialog.serving.mistakes import malformed
from metadialog.serving.prometheus import exposition

PAGE = Path(__file__).parent / "page"
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody} for status in (400, 401, 403, 404, 409, 410, 413, 422, 429, 503, 507)
}
_EVENTS: dict[int | str, dict[str, Any]] = {**_ERRORS, 200: {"content": {"text/event-stream": {}}}}
_ZIP: dict[int | str, dict[str, Any]] = {**_ERRORS, 200: {"content": {"application/zip": {}}}}
_COUNTED = (
    *(f"/v1/{name}" for name in ("adaptations", "replies", "scores", "models")),
    *("/static", "/healthz", "/metrics", "/docs", "/openapi.json", "/"),
)
"""Paths by which responses are counted; others are counted together, to limit memory."""
_READ = (".txt", ".json", ".jsonl", ".csv")
"""Endings of the files that may be sent as text: archives, and YAML with references, could unpack to far more."""
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Service:
    """The state of the server: models, adaptations, and the thread that generates replies.

    Args:
        models: models by name.
        limits: limits of requests.
    """

    def __init__(self, models: Mapping[str, AdaptableModel], limits: Limits) -> None:
        self.models = dict(models)
        self.limits = limits
        self.adaptations = Adaptations(limits.waiting_adaptations, limits.adaptations, limits.adaptations_mib)
        self.batcher = Batcher(limits.waiting_replies)
        self.responses: Counter[tuple[str, int]] = Counter()
        self.whole = 0

    def stop(self) -> None:
        """Stop the threads."""
        self.adaptations.stop()
        self.batcher.stop()

    def count(self, path: str, status: int) -> None:
        """Count a response."""
        counted = next((known for known in _COUNTED if path == known or path.startswith(f"{known}/")), "other")
        self.responses[counted, status] += 1

    def check_room(self, replies: int) -> None:
        """Refuse replies or scores if too many replies are being generated."""
        if self.whole + len(self.batcher) + replies > self.limits.waiting_replies:
            raise too_many(self.limits.waiting_replies)

    @contextmanager
    def room(self, replies: int = 1) -> Iterator[None]:
        """Reserve room for complete replies or a score, unless too many replies are being generated."""
        self.check_room(replies)
        self.whole += replies
        try:
            yield
        finally:
            self.whole -= replies

    def model(self, name: str | None) -> tuple[str, AdaptableModel]:
        """Return a model by name; None for the first one."""
        if name is None:
            return next(iter(self.models.items()))
        if name not in self.models:
            raise RefusedError(404, f"there is no model {name!r}; GET /v1/models lists them")
        return name, self.models[name]

    def asked(self, model: str | None, adaptation: str | None) -> AdaptableModel:
        """Return the requested model, adapted or original."""
        return self.model(model)[1] if adaptation is None else self.adaptations.adapted(adaptation)

    def options(self, request: ReplyRequest, model: AdaptableModel) -> dict[str, Any] | None:
        """Return the generation options of a request, after checking the limits."""
        most, longest, asked = self.limits.waiting_replies, self.limits.tokens, request.generation.max_tokens
        if request.n > most:
            raise over(400, "n", request.n, most)
        if request.n > 1 and request.stream:
            raise RefusedError(422, "n: a stream is one reply; leave out n or stream")
        if asked is not None and asked > longest:
            raise over(400, "generation.max_tokens", asked, longest)
        options = request.generation.options()
        own = getattr(as_generation(options, model.equipment.generation), "max_tokens", longest)
        return options if own <= longest else {**(options or {}), "max_tokens": longest}

    def dialogues(self, dialogues: DialoguesBody | None, text: str | None) -> list[Dialogue]:
        """Return the dialogues of a request, after checking the limits."""
        if (dialogues is None) == (text is None):
            raise RefusedError(422, "send either dialogues or text")
        if text is not None:
            parsed = read_content(_content(text), "text")
        else:
            parsed = as_dialogues([_plain(turns) for turns in dialogues or []])
        if len(parsed) > self.limits.dialogues:
            raise over(422, "dialogues", len(parsed), self.limits.dialogues)
        turns = sum(len(dialogue.turns) for dialogue in parsed)
        if turns > self.limits.turns:
            raise over(422, "turns", turns, self.limits.turns)
        if all(len(dialogue.turns) < MIN_TURNS for dialogue in parsed):
            raise RefusedError(422, "no dialogue has two turns or more, a turn and its answer")
        return parsed


def make_app(
    models: Mapping[str, AdaptableModel],
    limits: Limits,
    token: str | None = None,
    hosts: tuple[str, ...] | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        models: models by name; the first one is the default.
        limits: limits of requests.
        token: token that clients must send; None for none.
        hosts: allowed host names of the server; None for all.
    """
    service = Service(models, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPI(
        title="metadialog",
        version=version("metadialog"),
        summary="Adapt a dialogue model to a few dialogues of your topic, and ask it for replies.",
        docs_url=None,  # would load a library from another site
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(
        Guard,
        limit=int(limits.upload_mib * 2**20),
        token=token,
        hosts=hosts,
        count=service.count,
    )
    _handle_errors(app)
    _add_models(app, service)
    _add_adaptations(app, service)
    _add_replies(app, service)
    _add_page(app)
    return app


def _handle_errors(app: FastAPI) -> None:
    def say(status: int, sentence: str) -> JSONResponse:
        return JSONResponse({"error": sentence}, status)

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> JSONResponse:
        return say(error.status, error.sentence)

    @app.exception_handler(MetadialogError)
    async def mistaken(_: Request, error: MetadialogError) -> JSONResponse:
        return say(422, " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    async def mistyped(request: Request, error: RequestValidationError) -> JSONResponse:
        return say(422, malformed(error.errors(), request.url.path))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        sentences = {
            400: "the request is not JSON in UTF-8; send a JSON object, as /docs describes",
            404: "there is no such path; /docs lists all paths",
            405: f"the method {request.method} is not allowed here; allowed: {headers.get('Allow', 'see /docs')}",
        }
        return JSONResponse({"error": sentences.get(error.status_code, str(error.detail))}, error.status_code, headers)


def _add_models(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models", responses=_ERRORS)
    async def list_models() -> ModelsBody:
        """List the models."""
        models = [_model_body(name, model) for name, model in service.models.items()]
        return ModelsBody(models=models, limits=service.limits)

    @app.get("/healthz")
    async def is_healthy() -> HealthBody:
        """Return whether the server is running."""
        return HealthBody(status="ok")

    @app.get("/metrics", response_class=PlainTextResponse, responses=_ERRORS)
    async def show_metrics() -> str:
        """Return counters in the format of Prometheus."""
        return exposition(service.batcher, service.adaptations, service.responses)

    @app.post("/v1/scores", responses=_ERRORS)
    async def score(request: ScoreRequest) -> ScoreBody:
        """Score a model on the responses of dialogues."""
        model = service.asked(request.model, request.adaptation)
        dialogues = await asyncio.to_thread(service.dialogues, request.dialogues, request.text)
        with service.room():
            return ScoreBody.of(await asyncio.to_thread(model.score, dialogues))


def _add_adaptations(app: FastAPI, service: Service) -> None:
    @app.post("/v1/adaptations", status_code=202, responses=_ERRORS)
    async def adapt(request: AdaptationRequest, response: Response) -> AdaptationBody:
        """Start adapting a model to dialogues; the returned id gives access to the adapted model."""
        name, model = service.model(request.model)
        if request.steps is not None and request.steps > service.limits.steps:
            raise over(400, "steps", request.steps, service.limits.steps)
        dialogues = await asyncio.to_thread(service.dialogues, request.dialogues, request.text)
        divide(dialogues, request.held_out, seed=0)  # refuses now what could not be divided later
        adaptation = Adaptation(
            name, model, dialogues, request.steps, request.held_out, min(MAX_STEPS, service.limits.steps)
        )
        service.adaptations.submit(adaptation)
        response.headers["Location"] = f"/v1/adaptations/{adaptation.id}"
        return AdaptationBody.of(adaptation)

    @app.get("/v1/adaptations/{name}", responses=_ERRORS)
    async def show_adaptation(name: str) -> AdaptationBody:
        """Return the status of an adaptation, with its curve so far."""
        return AdaptationBody.of(service.adaptations.get(name))

    @app.get("/v1/adaptations/{name}/events", response_class=StreamingResponse, responses=_EVENTS)
    async def follow_adaptation(name: str) -> StreamingResponse:
        """Follow an adaptation by server-sent events: status and point, and finally end or error."""
        return StreamingResponse(progress(service.adaptations.get(name)), media_type="text/event-stream")

    @app.delete("/v1/adaptations/{name}", status_code=204, responses=_ERRORS)
    async def delete_adaptation(name: str) -> None:
        """Cancel or delete an adaptation."""
        service.adaptations.delete(name)

    @app.get("/v1/adaptations/{name}/model", response_class=FileResponse, responses=_ZIP)
    async def download_model(name: str) -> FileResponse:
        """Return the adapted model as a zip file, which `metadialog chat run=FOLDER` opens once it is unpacked."""
        return await _zipped(service.adaptations.adapted(name))


async def _zipped(model: AdaptableModel) -> FileResponse:
    """Return a model as a zip file, which is removed once it has been sent."""
    folder = Path(tempfile.mkdtemp(prefix="metadialog-"))
    clean = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        await asyncio.to_thread(model.save, folder / "adapted", "adapted")
        archive = await asyncio.to_thread(shutil.make_archive, str(folder / "adapted"), "zip", folder, "adapted")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(archive, media_type="application/zip", filename="adapted-model.zip", background=clean)


def _add_replies(app: FastAPI, service: Service) -> None:
    @app.post("/v1/replies", responses=_EVENTS, response_model=RepliesBody)
    async def reply(request: ReplyRequest) -> RepliesBody | StreamingResponse:
        """Reply to a context; with `stream`, token by token."""
        model = service.asked(request.model, request.adaptation)
        context: Context = request.context if isinstance(request.context, str) else _plain(request.context)
        options = service.options(request, model)
        growing = model.growing(context, options, seed=request.seed)
        if growing is None or request.n > 1:
            with service.room(request.n):
                result = await asyncio.to_thread(
                    lambda: model.replies([context], request.n, options, seed=request.seed)[0]
                )
            made = [ReplyBody(text=str(one), score=finite(one.score), tokens=one.tokens) for one in result]
            if request.stream:
                return StreamingResponse(whole_reply(made[0]), media_type="text/event-stream")
            return RepliesBody(replies=made)
        pieces: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()
        pending = PendingReply(model, growing, to_loop(pieces))
        service.check_room(1)
        service.batcher.submit([pending])
        if request.stream:
            return StreamingResponse(reply_events(service.batcher, pending, pieces), media_type="text/event-stream")
        text = ""
        try:
            ended = False
            while not ended:
                piece, ended = await pieces.get()
                text += piece
        finally:
            service.batcher.cancel([pending])
        if pending.error is not None:
            raise RefusedError(503, pending.error)
        return RepliesBody(replies=[reply_body(text, pending)])


def _add_page(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=PAGE), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers=_SECURITY)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html", headers=_SECURITY)


def _model_body(name: str, model: AdaptableModel) -> ModelBody:
    about = model.equipment.about
    parent = None if about.adapted_to is None else about.adapted_to.parent
    return ModelBody(
        id=name,
        name=about.name,
        algorithm=about.algorithm,
        dataset=about.dataset,
        language=about.languages[0],
        parent=parent,
    )


def _content(text: str) -> bytes:
    """Return the content of a file that was sent as text, unless it is of a kind that may unpack to far more."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:  # JSON can escape it
        raise RefusedError(422, "text: holds half of a character; write both halves") from error
    if (ending := ending_of(content)) not in _READ:
        raise RefusedError(
            422, f"text: looks like a file ending in {ending}; send JSON, JSON Lines, CSV, or a turn a line"
        )
    return content


def _plain(turns: Turns) -> Sequence[Any]:
    return [turn if isinstance(turn, str) else turn.model_dump() for turn in turns]
