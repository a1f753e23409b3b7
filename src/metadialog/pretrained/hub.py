"""Models by their names on the Hugging Face Hub, also without a network."""

import functools
import os
from urllib.parse import urlsplit

from metadialog.errors import ConfigError

PATIENCE = 10.0
"""Seconds within which the hub must answer."""


def on_hub(name: str, option: str) -> str:
    """Return the argument for `transformers` to load a model of the hub: its name, or offline the folder of its files.

    `huggingface_hub` itself would try for half a minute, file by file, before it reports that there is no network.

    Args:
        name: name on the hub, such as `HuggingFaceTB/SmolLM2-135M-Instruct`.
        option: name of the option, for messages.

    Raises:
        ConfigError: the hub does not answer, and the model has not been downloaded before.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if os.environ.get("HF_HUB_OFFLINE"):  # respected by `transformers`
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
    """Return why an address cannot be reached; None if it can."""
    import requests

    try:
        requests.head(endpoint, timeout=PATIENCE)
    except requests.Timeout:
        return f"no answer in {PATIENCE:g} seconds"
    except requests.RequestException as error:
        return _cause(error)
    return None


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error, in the system's words."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return str(getattr(error, "strerror", None) or type(error).__name__)
