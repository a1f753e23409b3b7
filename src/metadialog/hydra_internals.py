"""All imports from Hydra, most of them from beyond its documented interface.

Hydra 1.3 has no public way to parse overrides, to list the choices of a group, to compose without `hydra.main`, or to
run one composed job. Another version of Hydra needs changes only in this file.
"""

from hydra import compose, initialize_config_module, main
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
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

__all__ = [
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
    "run_job",
]
