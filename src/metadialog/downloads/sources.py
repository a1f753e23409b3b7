"""The sources of published data sets in `sources.yaml`."""

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
    """A file of a publisher.

    Attributes:
        url: address.
        sha256: checksum, if published.
        archive: type of archive; None for a file that is not unpacked.
        strip: number of leading folders to remove from members of an archive.
        keep: patterns of the members to unpack, after stripping; empty for all.
        into: subfolder of the data set to unpack to.
        max_bytes: maximum size, against servers that never end.
        max_unpacked_bytes: maximum unpacked size of an archive.
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
        """The file name: the last part of its address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "download"


class Source(BaseModel):
    """A published data set.

    Attributes:
        title: name.
        page: address of its page.
        licence: licence.
        citation: requested citation.
        files: files.
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
