"""Trained models in Apache Cassandra tables score the rows that live there.

    import helenus
    h = helenus.connect()
    v = h.push("tumour", pipeline, X_holdout)
    h.jobs["tumour"].score()
    df = h.predictions("tumour", "champion")
"""

from ._binary import find_binary, find_library
from .client import Helenus, Job, Jobs, connect
from .errors import (
    Conflict, ExportRefused, HelenusError, Interrupted, InvalidInput, NegativeAnswer, NotFound, SystemFailure,
)
from .results import Comparison, Drift, Evaluation, Explanation, Run, Verification, Version

__all__ = [
    "Comparison", "Conflict", "Drift", "Evaluation", "Explanation", "ExportRefused", "Helenus", "HelenusError", "Interrupted",
    "InvalidInput", "Job", "Jobs", "NegativeAnswer", "NotFound", "Run", "SystemFailure", "Verification", "Version", "connect",
    "find_binary", "find_library",
]
