"""`adaptation.parquet`: the records, and in the file's metadata what they are about."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

EPISODES_KEY = b"metadialog.episodes"
LANGUAGE_KEY = b"metadialog.language"
METRICS_KEY = b"metadialog.metrics"


def write_table(path: Path, records: pd.DataFrame, metadata: Mapping[bytes, bytes]) -> None:
    """Write records as a Parquet file.

    Args:
        path: the file.
        records: one row for each record.
        metadata: of the file, by key.
    """
    table = pa.Table.from_pandas(records, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata}), path)
