"""Stored predictions as pandas, pyarrow, or batches: `helenus export` writes Parquet, which is read back."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Optional

from ._call import Command
from .errors import InvalidInput

if TYPE_CHECKING:
    import pandas
    import pyarrow


@contextmanager
def exported(command: Command, job: str, options: list[str]) -> Iterator[Path]:
    """Exports to a Parquet file that is deleted afterwards. The folder and the file are readable by their owner only."""
    with tempfile.TemporaryDirectory(prefix="helenus-") as folder:
        path = Path(folder, "predictions.parquet")
        command("export", job, *options, "--format", "parquet", "--out", os.fspath(path))
        yield path


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise InvalidInput("python.missing", "pyarrow is not installed",
                           help="pip install 'helenus[pandas]'") from None
    return pyarrow.parquet


def read_arrow(command: Command, job: str, options: list[str]) -> "pyarrow.Table":
    parquet = _parquet()
    with exported(command, job, options) as path:
        return parquet.read_table(path, memory_map=False)


def read_batches(command: Command, job: str, options: list[str], rows: int) -> "Iterator[pyarrow.RecordBatch]":
    parquet = _parquet()
    with exported(command, job, options) as path:
        file = parquet.ParquetFile(path)
        yield from file.iter_batches(batch_size=rows)


def read_pandas(command: Command, job: str, options: list[str]) -> "pandas.DataFrame":
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise InvalidInput("python.missing", "pandas is not installed", help="pip install 'helenus[pandas]'") from None
    frame: "pandas.DataFrame" = read_arrow(command, job, options).to_pandas()
    if "model_sha256" in frame:
        frame["model_sha256"] = frame["model_sha256"].map(bytes.hex, na_action="ignore")
    for name in frame.columns:
        first = frame[name].dropna().head(1)
        # Older pyarrow gives UUIDs as 16 bytes.
        if name == "run_id" and len(first) and isinstance(first.iloc[0], bytes):
            frame[name] = frame[name].map(_uuid, na_action="ignore")
    return frame


def _uuid(value: bytes) -> Any:
    import uuid

    return uuid.UUID(bytes=value)


def options(
    version: Optional[str], run: Optional[str], where: Optional[str], top: Optional[int], by: Optional[str],
    max_rate: Optional[int],
) -> list[str]:
    words: list[str] = []
    for name, value in (("--version", version), ("--run", run), ("--where", where), ("--top", top), ("--by", by),
                        ("--max-rate", max_rate)):
        if value is not None:
            words += [name, str(value)]
    return words
