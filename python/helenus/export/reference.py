"""Training rows as the reference of `model push --reference`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import InvalidInput


def write_reference(reference: Any, folder: str) -> str:
    """Returns the path of a CSV or Parquet file; writes a DataFrame as CSV."""
    if isinstance(reference, (str, os.PathLike)):
        return os.fspath(reference)
    if not hasattr(reference, "to_csv"):
        raise InvalidInput("push.reference", "the reference is neither a DataFrame nor a path",
                           help="give the training rows as a DataFrame whose columns are the model's features")
    path = Path(folder, "reference.csv")
    reference.to_csv(path, index=False, na_rep="")
    return os.fspath(path)
