"""`metadialog serve run=DIR`: serve models over HTTP, with a chat page."""

import logging
from dataclasses import fields
from pathlib import Path

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import ServeConfig
from metadialog.extras import need
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
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
    from metadialog.serving.listening import is_loopback, listen, read_token
    from metadialog.serving.protocol import PromptProtocol

    config: ServeConfig = build(job.config)
    token = read_token(config.token_file, config.host)
    models = _models(config)
    limits = Limits(**{field.name: getattr(config, field.name) for field in fields(Limits)})
    app = make_app(models, limits, token, LOOPBACK if is_loopback(config.host) else None)
    listening = listen(config.host, config.port)
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
