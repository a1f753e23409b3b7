"""The published data sets, as `sources.yaml` lists them."""

from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

import yaml
from annotated_types import Ge, Gt, MinLen
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

Text = Annotated[str, MinLen(1)]


class RemoteFile(BaseModel):
    """One file at its publisher's.

    Attributes:
        url: its address.
        sha256: its checksum, where one is published.
        archive: the kind of archive it is; None for a file that is taken as it is.
        strip: leading folders of an archive's members that are left out.
        keep: patterns of the members that are unpacked, after stripping; none means all.
        into: folder below the data set's own that it goes to.
        max_bytes: most bytes of it, as a guard against a server that never ends.
        max_unpacked_bytes: most bytes of all that an archive holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Text
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None
    archive: Literal["zip", "tar.gz"] | None = None
    strip: Annotated[int, Ge(0)] = 0
    keep: tuple[Text, ...] = ()
    into: str = ""
    max_bytes: Annotated[int, Gt(0)] = 1 << 30
    max_unpacked_bytes: Annotated[int, Gt(0)] = 4 << 30

    @property
    def name(self) -> str:
        """The file's own name: the last part of its address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "download"


class Source(BaseModel):
    """A published data set.

    Attributes:
        title: what its publishers call it.
        page: where to read about it.
        licence: what it is published under.
        citation: what its publishers ask to be cited.
        files: what it consists of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Text
    page: Text
    licence: Text
    citation: Text
    files: Annotated[tuple[RemoteFile, ...], MinLen(1)]


@cache
def sources() -> dict[str, Source]:
    """Return the published data sets by name."""
    text = resources.files("metadialog.downloads").joinpath("sources.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Source]).validate_python(yaml.safe_load(text))
