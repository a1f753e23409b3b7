"""Storages of studies: SQLite, PostgreSQL or another database by URL, or Redis."""

import logging
import os
import re
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from metadialog.errors import ConfigError
from metadialog.extras import need

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

STORAGE = "METADIALOG_STORAGE"
"""Environment variable with the URL of the storage for the runs, so that no file contains its password."""
HIDDEN = "***"

# A password may contain unescaped characters, so it extends to the last @ of the word.
_BEFORE_HOST = re.compile(r"(\w://[^/@\s:]*):\S*@")
_IN_QUERY = re.compile(r"(?i)([?&](?:\w*pass\w*|pwd|\w*token|\w*key|\w*secret|auth)=)[^&\s'\"]+")

CONNECT_SECONDS = 10
BUSY_SECONDS = 120  # time limit for access to a SQLite file that others write to

TABLES_WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds, while another process creates the tables

_EXISTS = re.compile("already exists|duplicate key|UNIQUE constraint|no such table|does not exist")
_FORM = "it should be like sqlite:///FILE, postgresql://USER@HOST/DATABASE or redis://HOST:6379/0"


def check_url(url: str) -> None:
    """Check the URL of a storage, and that its client is installed.

    Raises:
        ConfigError: the URL is invalid, or the client is missing.
    """
    option = f"sweep.storage={hide_password(url)}"
    if HIDDEN in url:
        raise ConfigError(f"{option}: the password is kept in no file; give the whole URL once more")
    scheme, separator, rest = url.partition("://")
    if not separator or not rest:
        raise ConfigError(f"{option}: is not a URL; {_FORM}")
    kind = scheme.partition("+")[0]
    if kind in ("redis", "rediss", "unix"):
        need("redis", "redis", option)
    elif kind in ("postgresql", "postgres"):
        need("psycopg", "postgresql", option)
    elif kind == "sqlite":
        folder = Path(rest.partition("?")[0].removeprefix("/")).expanduser().parent
        if not folder.is_dir():
            raise ConfigError(f"{option}: there is no folder {folder}; make it first")
    elif kind not in ("mysql", "mariadb"):
        raise ConfigError(f"{option}: {scheme!r} is no kind of storage; {_FORM}")


def open_storage(url: str) -> "BaseStorage":
    """Open the storage of a study.

    Raises:
        ConfigError: it cannot be reached, or is not a storage of studies.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _redis(url) if url.startswith(("redis", "unix")) else _database(url)
    except ConfigError:
        raise
    except Exception as error:
        # Each database client has its own exceptions.
        logging.getLogger(__name__).debug("opening the storage failed", exc_info=error)
        reason = re.split(r"\s*\(Background on this error", " ".join(hide_password(str(error)).split()))[0]
        raise ConfigError(f"sweep.storage={hide_password(url)}: cannot be reached: {reason}") from error


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file."""
    return f"sqlite:///{path.absolute()}"


def absolute(url: str) -> str:
    """Return the URL with an absolute path."""
    if not url.startswith("sqlite:///") or url.startswith("sqlite:////"):
        return url
    return sqlite_url(Path(url.removeprefix("sqlite:///")).expanduser())


def hide_password(text: str) -> str:
    """Remove passwords from URLs in a text, before the host as well as in the query."""
    hidden = _BEFORE_HOST.sub(rf"\1:{HIDDEN}@", text)
    return _IN_QUERY.sub(rf"\1{HIDDEN}", hidden)


def known_url(shown: str) -> str | None:
    """Return the full URL for one without its password, if the sweep that started this process knows it.

    Args:
        shown: result of `hide_password`.
    """
    url = os.environ.get(STORAGE)
    return url if url is not None and hide_password(url) == shown else None


def _database(url: str) -> "BaseStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    scheme, _, rest = url.partition("://")
    timeout = {"timeout": BUSY_SECONDS} if scheme.startswith("sqlite") else {"connect_timeout": CONNECT_SECONDS}
    if scheme in ("postgresql", "postgres"):
        scheme = "postgresql+psycopg"
    open_database = partial(RDBStorage, f"{scheme}://{rest}", engine_kwargs={"connect_args": timeout})
    for wait in TABLES_WAITS:
        try:
            return open_database()
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            # If several machines start on an empty database, one of them creates the tables.
            if not _EXISTS.search(str(error)):
                raise
        time.sleep(wait)
    return open_database()


def _redis(url: str) -> "BaseStorage":
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages.journal import JournalRedisBackend, JournalStorage

    parts = urlsplit(url)
    seconds = str(CONNECT_SECONDS)
    query = dict(parse_qsl(parts.query))
    query = {"socket_connect_timeout": seconds, "socket_timeout": seconds} | query
    with warnings.catch_warnings():
        # Optuna's only Redis backend is marked as experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return JournalStorage(JournalRedisBackend(urlunsplit(parts._replace(query=urlencode(query)))))
