"""A set of seen keys that does not hold all of them in memory."""

import sqlite3
from contextlib import closing
from typing import Self

_CACHE_KIB = 32_768


class Seen:
    """A mapping from keys to numbers that only grows.

    SQLite keeps it in a private temporary file, which the system removes with the process, and holds only the
    pages in use in memory.
    """

    def __init__(self) -> None:
        """Create an empty mapping."""
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, value INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def first(self, key: bytes, value: int) -> int | None:
        """Return the number stored for a key; for a new key, store the number and return None."""
        with closing(self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, value))) as cursor:
            if cursor.rowcount:
                return None
        with closing(self._database.execute("SELECT value FROM seen WHERE key = ?", (key,))) as cursor:
            return int(cursor.fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
