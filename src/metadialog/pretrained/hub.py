"""Models by their names on the Hugging Face Hub, where there may be no network."""

import functools
import os
from urllib.parse import urlsplit

from metadialog.errors import ConfigError

PATIENCE = 10.0
"""Seconds in which the hub has to answer at all."""


def on_hub(name: str, option: str) -> str:
    """Return what `transformers` finds a model of the hub by: its name, or without the hub the folder of its files.

    `huggingface_hub` alone would try for half a minute, file by file, before it says that there is no network.

    Args:
        name: on the hub, such as `HuggingFaceTB/SmolLM2-135M-Instruct`.
        option: what the user calls it.

    Raises:
        ConfigError: the hub does not answer, and the model has not been downloaded before.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if os.environ.get("HF_HUB_OFFLINE"):  # which `transformers` heeds
        return name
    problem = _unreachable(constants.ENDPOINT)
    if problem is None:
        return name
    try:
        return str(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        host = urlsplit(constants.ENDPOINT).hostname  # and no password
        raise ConfigError(
            f"{option}={name}: is no folder here, has not been downloaded before, and the Hugging Face Hub does not "
            f"answer ({host}: {problem}); name a folder of a pretrained model, or try with a network"
        ) from error


@functools.cache
def _unreachable(endpoint: str) -> str | None:
    """Return why nothing answers at an address; None if something does."""
    import requests

    try:
        requests.head(endpoint, timeout=PATIENCE)
    except requests.Timeout:
        return f"no answer in {PATIENCE:g} seconds"
    except requests.RequestException as error:
        return _cause(error)
    return None


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error, as the system says it."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(getattr(error, "strerror", None) or type(error).__name__)
