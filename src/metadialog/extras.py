"""Optional dependencies."""

from importlib.util import find_spec

from metadialog.errors import ConfigError


def need(library: str, extra: str, choice: str) -> None:
    """Check that a library is installed, without importing it.

    Args:
        library: import name of the library.
        extra: extra of this package that installs it.
        choice: option that needs it, as the user writes it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        result = find_spec(library) is not None
    except ImportError:
        result = False
    if not result:
        raise ConfigError(f"{choice}: the package {library} is not installed; pip install 'metadialog[{extra}]'")
