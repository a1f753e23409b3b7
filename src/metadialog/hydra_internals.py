"""All imports from Hydra, most of them from beyond its documented interface.

Hydra 1.3 has no public way to parse overrides, to list the choices of a group, to compose without `hydra.main`, or to
run one composed job. Another version of Hydra needs changes only in this file.
"""

import argparse
from inspect import signature
from types import SimpleNamespace
from typing import Any

from hydra import compose, initialize_config_module, main
from hydra._internal import utils
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ConfigDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode, TaskFunction

_REPLACES = "replace" in signature(ConfigStore.store).parameters  # Hydra 1.4 and later

VERSION: dict[str, Any] = {} if _REPLACES else {"version_base": "1.3"}
"""Arguments that ask for the behaviour of Hydra 1.3, which is the only one of later versions."""

__all__ = [
    "VERSION",
    "BasicSweeper",
    "Callbacks",
    "ChoiceSweep",
    "ConfigDefault",
    "ConfigLoader",
    "ConfigLoaderImpl",
    "GlobalHydra",
    "HydraConfig",
    "HydraContext",
    "HydraException",
    "IntervalSweep",
    "ObjectType",
    "Override",
    "OverridesParser",
    "Plugins",
    "RangeSweep",
    "RunMode",
    "SearchPathQuery",
    "TaskFunction",
    "compose",
    "configure_log",
    "get_args_parser",
    "initialize_config_module",
    "main",
    "naming_sweeper",
    "run_job",
    "store_sweeper",
]


def store_sweeper(name: str, node: dict[str, Any]) -> None:
    """Store the config of `hydra/sweeper=NAME`, in place of one that is already there."""
    replace: dict[str, Any] = {"replace": True} if _REPLACES else {}
    ConfigStore.instance().store(group="hydra/sweeper", name=name, node=node, provider="metadialog", **replace)


def naming_sweeper(name: str) -> list[str]:
    """Return the overrides with which the runs of a sweep choose its sweeper, as Hydra 1.4 and later require."""
    return [f"hydra/sweeper={name}"] if _REPLACES else []


class TolerantParser(argparse.ArgumentParser):
    """A parser that accepts help which becomes text only when it is shown.

    Hydra 1.3 has such help for `--shell-completion`, which argparse refuses since Python 3.14.
    """

    def _check_help(self, action: argparse.Action) -> None:
        if isinstance(action.help, str):
            super()._check_help(action)  # type: ignore[misc]


if not _REPLACES:
    vars(utils)["argparse"] = SimpleNamespace(**{**vars(argparse), "ArgumentParser": TolerantParser})
