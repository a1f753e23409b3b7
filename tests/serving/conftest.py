"""Fixtures: a real server on a free port of the loopback interface."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from tests.conftest import Export

from metadialog.inference.folder import load_model
from metadialog.serving.app import make_app
from metadialog.serving.guard import LOOPBACK
from metadialog.serving.limits import Limits
from metadialog.serving.protocol import PromptProtocol

LIMITS = Limits(
    upload_mib=0.25,
    dialogues=50,
    turns=400,
    steps=60,
    tokens=100,
    waiting_adaptations=16,
    waiting_replies=256,
    adaptations=32,
    adaptations_mib=64,
)


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    app: FastAPI

    def client(self, **options: Any) -> httpx.Client:
        """Return a client of the server."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)


Serve = Callable[..., Server]


@contextmanager
def running(app: FastAPI, protocol: type[PromptProtocol] = PromptProtocol) -> Iterator[Server]:
    """Run an application in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(
        app, http=protocol, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    try:
        yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def serve(export: Export) -> Iterator[Serve]:
    """Return a function that starts a server of two small models, with given limits and token."""
    models = {"meta": load_model(export()), "tuned": load_model(export("algorithm=finetune"))}
    with ExitStack() as stack:

        def start(token: str | None = None, protocol: type[PromptProtocol] = PromptProtocol, **limits: Any) -> Server:
            return stack.enter_context(running(make_app(models, replace(LIMITS, **limits), token, LOOPBACK), protocol))

        yield start


@pytest.fixture(scope="module")
def server(serve: Serve) -> Server:
    """Return a server with the usual limits."""
    return serve()
