"""What the training library itself predicts."""

from __future__ import annotations

import warnings
from typing import Any, Optional, Sequence

import numpy as np

from ..errors import InvalidInput
from .columns import Rows

Array = "np.ndarray[Any, Any]"
#: Method -> its values, by row: [N] or [N, k]; a list of such arrays for several targets.
Predictions = dict[str, Any]

METHODS = ("predict", "predict_proba", "decision_function", "score_samples", "transform")


def predictions(pipeline: Any, samples: Sequence[Rows]) -> list[tuple[Rows, Predictions]]:
    """Returns each sample with what every method gives. The first sample must work; others are left out if they do not."""
    found = []
    for at, rows in enumerate(samples):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append((rows, _predict(pipeline, rows)))
        except Exception as error:
            if at == 0:
                raise InvalidInput("export.rows", f"the pipeline fails on the held-out rows: {error}",
                                   help="X_holdout must have the columns of the training rows, in their order") from error
    return found


def _predict(pipeline: Any, rows: Rows) -> Predictions:
    given = rows.given
    found: Predictions = {}
    for method in METHODS:
        call = getattr(pipeline, method, None)
        if call is None:
            continue
        try:
            values = call(given)
        except Exception:
            if method == "predict":
                raise
            continue  # hasattr is true for some methods that their settings forbid
        values = [_plain(part) for part in values] if isinstance(values, list) else _plain(values)
        found[method] = values
    if type(pipeline).__name__.startswith("CatBoost") and "predict" in found and found["predict"].ndim == 2 \
            and found["predict"].shape[1] == 1:
        found["predict"] = found["predict"].ravel()
    return found


def _plain(values: Any) -> Any:
    if hasattr(values, "toarray"):
        values = values.toarray()
    return np.asarray(values)


def class_names(pipeline: Any, given: Optional[Sequence[Any]]) -> Optional[list[str]]:
    """Returns the names of the classes: those given, or else those of the estimator; None where there are several targets."""
    classes = getattr(pipeline, "classes_", None)
    if given is not None:
        names = [str(name) for name in given]
        if classes is not None and not isinstance(classes, list) and len(names) != len(classes):
            raise InvalidInput("export.classes", f"{len(names)} class names for {len(classes)} classes: {list(classes)}")
        return names
    if isinstance(classes, list):
        # The names are for every output with that number of scores.
        if not classes or any(list(other) != list(classes[0]) for other in classes):
            return None
        classes = classes[0]
    if classes is None or np.asarray(classes).ndim != 1:
        return None
    names = []
    for value in np.asarray(classes).tolist():
        whole = isinstance(value, float) and value == int(value)
        names.append(str(int(value)) if whole else str(value))
    return names
