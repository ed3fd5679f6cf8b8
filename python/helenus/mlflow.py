"""Logs a fitted pipeline to MLflow so that `helenus model import` takes it with its feature order, classes and golden rows.

    import helenus.mlflow
    with mlflow.start_run():
        helenus.mlflow.log_model(pipeline, X_holdout, reference=X_train, registered_model_name="tumour")
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import mlflow.onnx
from mlflow.models import Model

from .export import Exported, export
from .export.reference import write_reference

__all__ = ["log_model", "save_model"]


def log_model(
    pipeline: Any,
    X_holdout: Any,
    name: str = "model",
    *,
    reference: Any = None,
    registered_model_name: Optional[str] = None,
    features: Optional[Sequence[str]] = None,
    classes: Optional[Sequence[Any]] = None,
    text: Optional[Mapping[str, str]] = None,
    rtol: Optional[float] = None,
    atol: Optional[float] = None,
    **options: Any,
) -> Any:
    """Exports a pipeline as `Helenus.push` does, and logs it with MLflow's ONNX flavour; returns MLflow's ModelInfo.

    Beside the model are `golden.csv`, `features.txt` where the file has one wide input, and `reference.csv` if given.
    Raises `ExportRefused` if no export predicts what the pipeline predicts; nothing is logged then.
    """
    made = export(pipeline, X_holdout, features=features, classes=classes, text=text, rtol=rtol, atol=atol)
    import helenus.mlflow

    # MLflow 3 takes `name`, and nothing as the `artifact_path` of MLflow 2.
    place = {"artifact_path": None, "name": name} if "name" in inspect.signature(Model.log).parameters else {"artifact_path": name}
    return Model.log(
        **place, flavor=helenus.mlflow, registered_model_name=registered_model_name, exported=made, reference=reference,
        metadata=_metadata(made), **options)


def _metadata(made: Exported) -> dict[str, Any]:
    metadata: dict[str, Any] = {"helenus.features": made.features}
    if made.classes is not None:
        metadata["helenus.classes"] = made.classes
    return metadata


def save_model(exported: Exported, path: str, mlflow_model: Any = None, reference: Any = None, **options: Any) -> None:
    """Writes a model's folder; MLflow calls this from `log_model`."""
    import onnx

    model = onnx.load_from_string(exported.onnx)
    mlflow.onnx.save_model(model, path, mlflow_model=mlflow_model, **options)
    Path(path, "golden.csv").write_text(exported.golden, encoding="utf-8")
    wide = {entry.key: entry.value for entry in model.metadata_props}.get("helenus.features")
    if wide is not None:
        Path(path, "features.txt").write_text("".join(f"{feature}\n" for feature in json.loads(wide)), encoding="utf-8")
    if reference is not None:
        write_reference(reference, path)
