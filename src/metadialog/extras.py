"""Libraries that not everybody needs, and how to get them."""

from importlib.util import find_spec

from metadialog.errors import ConfigError


def need(library: str, extra: str, choice: str) -> None:
    """Check that a library is installed, without importing it.

    Args:
        library: its import name.
        extra: the extra of this package that brings it.
        choice: the option that needs it, as the user writes it.

    Raises:
        ConfigError: it is not.
    """
    try:
        result = find_spec(library) is not None
    except ImportError:
        result = False
    if not result:
        raise ConfigError(f"{choice}: the package {library} is not installed; pip install 'metadialog[{extra}]'")
