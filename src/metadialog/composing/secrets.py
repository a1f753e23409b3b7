"""Protection of secrets in environment variables, as configs are written to files, logs and Weights & Biases."""

import re
from collections.abc import Iterator, Mapping

from omegaconf import DictConfig, OmegaConf

from metadialog.errors import ConfigError

_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth")
_HIDDEN = ("sweep.storage",)
"""Options whose passwords are never written; see `metadialog.sweeps.storage`."""


def refuse_secrets(config: DictConfig) -> None:
    """Check that no option is set from an environment variable whose name looks like a secret.

    Raises:
        ConfigError: one is; the message names the option and the variable, but not its value.
    """
    for path, text in _texts(OmegaConf.to_container(config, resolve=False)):
        for name in _VARIABLE.findall(text):
            if _SECRET.search(name) and path not in _HIDDEN and not path.startswith("hydra.overrides"):
                raise ConfigError(
                    f"{path}: ${{oc.env:{name}}} would be in the run's config and logs, and {name} looks like a "
                    "secret; libraries read theirs from the environment themselves, and what is none can be renamed"
                )


def _texts(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    entries = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from _texts(value, f"{path}.{key}" if path else str(key))
