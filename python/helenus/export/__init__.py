"""ONNX exports of fitted pipelines that predict what the pipelines predict, or a refusal.

There is more than one way to export a pipeline, and which one is right depends on the arithmetic of its library:
scikit-learn scales in double and its trees compare floats, LightGBM compares doubles, XGBoost floats. So `export` tries
the ways that can be right, best first, and takes the first whose results equal the library's on all held-out rows, and on
rows made by shuffling their columns. If none does, nothing is exported.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ..errors import ExportRefused, InvalidInput
from . import convert, families, golden, reasons, verify
from .columns import Rows
from .library import class_names, predictions

__all__ = ["Exported", "export"]

RTOL, ATOL = 1e-5, 1e-6


@dataclass(frozen=True)
class Exported:
    """An ONNX file with its golden rows. `rtol` and `atol` are None where helenus's own tolerance holds."""

    onnx: bytes
    golden: str
    features: list[str]
    classes: Optional[list[str]]
    rtol: Optional[float]
    atol: Optional[float]
    #: Which way of exporting was taken.
    plan: str
    #: Rows on which the export was compared with the library.
    compared: int
    #: Held-out rows with an empty text cell, which no tensor holds: not compared.
    skipped: int

    def write(self, folder: "str | os.PathLike[str]") -> tuple[str, list[str]]:
        """Writes model.onnx and golden.csv; returns the model's path and the options of `model check` and `push`."""
        model, rows = Path(folder, "model.onnx"), Path(folder, "golden.csv")
        model.write_bytes(self.onnx)
        rows.write_text(self.golden, encoding="utf-8")
        return os.fspath(model), ["--golden", os.fspath(rows)]


def export(
    pipeline: Any,
    X_holdout: Any,
    *,
    features: Optional[Sequence[str]] = None,
    classes: Optional[Sequence[Any]] = None,
    text: Optional[Mapping[str, str]] = None,
    rtol: Optional[float] = None,
    atol: Optional[float] = None,
) -> Exported:
    """Exports a fitted pipeline; arguments as of `Helenus.push`.

    Raises `ExportRefused` with the reason if no export predicts what the pipeline predicts.
    """
    if X_holdout is None:
        raise InvalidInput("export.no_rows", "an export needs rows that the model was not trained on",
                           help="push(name, pipeline, X_holdout): 100 rows or more; the export is compared with the pipeline on them")
    convert.need()
    pipeline = families.unwrapped(pipeline)
    families.check_fitted(pipeline)
    rows = Rows.of(pipeline, X_holdout, features, text or {})
    refusal = reasons.beforehand(pipeline, rows)
    if refusal is not None:
        raise refusal
    whole, skipped = rows.without_null_texts()
    samples = [whole, *whole.shuffled()]
    expected = predictions(pipeline, samples)
    names = class_names(pipeline, classes)
    failures: list[verify.Failure] = []
    for plan in families.plans(pipeline, whole):
        tried = _try(plan, pipeline, whole, expected, names, rtol or RTOL, atol if atol is not None else ATOL)
        if isinstance(tried, verify.Failure):
            failures.append(tried)
            continue
        onnx, found = tried
        return Exported(
            onnx=onnx, golden=golden.write(whole, plan, found), features=whole.names, classes=names, rtol=rtol, atol=atol,
            plan=str(plan), compared=sum(len(sample) for sample, _ in expected), skipped=skipped,
        )
    raise reasons.afterwards(pipeline, whole, failures)


def _try(
    plan: families.Plan, pipeline: Any, rows: Rows, expected: Any, classes: Optional[list[str]], rtol: float, atol: float
) -> "verify.Failure | tuple[bytes, list[verify.Matched]]":
    metadata = {}
    if plan.wide:
        metadata["helenus.features"] = json.dumps(rows.names)
    if classes is not None:
        metadata["helenus.classes"] = json.dumps(classes)
    try:
        model = convert.convert(pipeline, rows, plan, metadata)
    except ExportRefused:
        raise
    except Exception as error:  # whatever a converter raises means that it can't
        return verify.Failure.of_error(plan, "the exporter fails", error)
    found = verify.verify(model, plan, expected, rtol, atol)
    return found if isinstance(found, verify.Failure) else (model, found)
