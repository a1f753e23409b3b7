"""`metadialog serve run=DIR`: serve models over HTTP, with a chat page."""

import ipaddress
import logging
import socket
from dataclasses import fields
from pathlib import Path

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import ConfigError
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import ServeConfig
from metadialog.extras import need
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.runs.reading import MIB, read_text
from metadialog.training.model_card import slug


def main(job: Job) -> None:
    """Serve until the process is stopped.

    Raises:
        ConfigError: the address is not local and there is no token, or it is in use.
        RunError: a model cannot be read.
    """
    need("fastapi", "serve", "metadialog serve")
    need("uvicorn", "serve", "metadialog serve")
    import uvicorn

    from metadialog.serving.app import make_app
    from metadialog.serving.guard import LOOPBACK
    from metadialog.serving.limits import Limits
    from metadialog.serving.protocol import PromptProtocol

    config: ServeConfig = build(job.config)
    token = _token(config)
    models = _models(config)
    limits = Limits(**{field.name: getattr(config, field.name) for field in fields(Limits)})
    app = make_app(models, limits, token, LOOPBACK if _is_loopback(config.host) else None)
    listening = _listen(config.host, config.port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    job.console.print(f"serving {', '.join(models)} at {address}", soft_wrap=True, highlight=False, markup=False)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    settings = uvicorn.Config(
        app, http=PromptProtocol, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=5
    )
    uvicorn.Server(settings).run([listening])


def _models(config: ServeConfig) -> dict[str, AdaptableModel]:
    device = find_device(config.device)
    models: dict[str, AdaptableModel] = {}
    for folder in [config.run] if isinstance(config.run, str) else config.run:
        model = load_model(folder, device=device, threads=config.threads)
        name = model.name
        if name in models:  # two runs with the same config
            name = slug(f"{name}-{Path(folder).expanduser().resolve().name}")
        number = 2
        while name in models:
            name, number = f"{model.name}-{number}", number + 1
        models[name] = model
    return models


def _token(config: ServeConfig) -> str | None:
    if config.token_file is None:
        if not _is_loopback(config.host):
            raise ConfigError(
                f"host={config.host}: other machines could reach it, so clients must know a token; name a file that "
                "holds one with token_file=FILE, or leave host as it is"
            )
        return None
    file = expand(config.token_file, "token_file")
    refuse_special(file, "token_file")
    token = read_text(file, MIB, "token").strip()
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(f"token_file={file}: should hold one token of 16 letters and digits or more, on one line")
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except (OSError, ValueError) as error:  # ValueError: no name that the system could look up
        problem = getattr(error, "strerror", None) or error
        raise ConfigError(f"host={host} port={port}: cannot be listened on: {problem}") from error
    return listening
