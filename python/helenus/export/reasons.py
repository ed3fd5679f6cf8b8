"""Why an export is refused: causes that are known, before and after trying."""

from __future__ import annotations

import math
import re
from typing import Any, Optional, Sequence

import numpy as np

from ..errors import ExportRefused
from .columns import Rows
from .families import families, last, name, parts, steps_of
from .verify import Failure


FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier", "ExtraTreeClassifier")


def beforehand(pipeline: Any, rows: Rows) -> Optional[ExportRefused]:
    """Returns the refusal of what exporters are known to write wrongly, without an error of their own."""
    from .convert import needs_package

    needs_package(pipeline)
    for part in parts(pipeline):
        kind = name(part)
        if kind.startswith("HistGradientBoosting") and np.any(getattr(part, "is_categorical_", None)):
            return ExportRefused("export.categories", f"skl2onnx drops the categories of {kind}(categorical_features=…)",
                                 help="one-hot encode them in the pipeline instead")
        if kind in FORESTS and getattr(part, "n_outputs_", 1) > 1:
            return ExportRefused("export.targets", f"{kind} of several targets is exported as [targets, rows, classes], not by row",
                                 help=f"train MultiOutputClassifier({kind}(…))")
        if kind.startswith("XGB"):
            missing = part.get_params().get("missing")
            if missing is not None and not (isinstance(missing, float) and math.isnan(missing)):
                return ExportRefused("export.missing", f"{kind}(missing={missing!r}): exports know NaN as the missing value only",
                                     help="train with missing=np.nan")
        if kind.startswith("LGBM") and part.get_params().get("zero_as_missing"):
            return ExportRefused("export.missing", f"{kind}(zero_as_missing=True) is exported wrongly",
                                 help="replace zeros by NaN before training, in the pipeline or in the job")
        if kind.startswith("CatBoost") and (part.get_cat_feature_indices() or part.get_text_feature_indices()):
            return ExportRefused("export.categories", "CatBoost exports no categorical or text features",
                                 help="encode them in the pipeline: OrdinalEncoder, OneHotEncoder or TargetEncoder")
    return _sparse(pipeline, rows)


def _sparse(pipeline: Any, rows: Rows) -> Optional[ExportRefused]:
    """XGBoost reads the zeros of a sparse matrix as missing; ONNX has no sparse matrices."""
    final, before = last(pipeline), steps_of(pipeline)[:-1]
    if not before or not name(final).startswith(("XGB", "LGBM", "CatBoost")):
        return None
    values = rows.take(np.arange(min(len(rows), 5))).given
    try:
        for step in before:
            values = step.transform(values)
    except Exception:
        return None  # predictions() says why
    if name(final).startswith("XGB") and hasattr(values, "toarray"):
        return ExportRefused(
            "export.sparse", f"the steps before {name(final)} give a sparse matrix, whose zeros XGBoost reads as missing",
            help="train on dense values: OneHotEncoder(sparse_output=False), ColumnTransformer(sparse_threshold=0)")
    return None


def afterwards(pipeline: Any, rows: Rows, failures: Sequence[Failure]) -> ExportRefused:
    """Returns the refusal after all ways were tried: about the one that came closest."""
    compared = [failure for failure in failures if failure.differing]
    if compared:
        closest = min(compared, key=lambda failure: (failure.differing / failure.of, failure.excess))
        cause, advice = _cause(pipeline, rows, closest)
        message = f"{closest.what}: {closest.detail}"
        code = "export.differs"
    else:
        # The last way's message is the plainest: the simplest export.
        closest = failures[0] if len({failure.what for failure in failures}) == 1 else failures[-1]
        cause, advice = None, "see docs/models.md for what can be exported; an ONNX file can be pushed by its path"
        message = f"{name(last(pipeline))} cannot be exported: {closest.what}: {closest.detail}"
        code = "export.unsupported"
        unknown = re.search(r"Unable to find a (?:shape calculator|converter) for type '<class '([\w.]+)'>", closest.detail)
        if unknown:
            message = f"there is no exporter for {unknown[1]}"
    others = [{"code": code, "message": f"{failure.what}: {failure.detail}", "where": str(failure.plan)}
              for failure in failures if failure is not closest]
    refusal = ExportRefused(code, f"{message}{'. ' + cause if cause else ''}", where=str(closest.plan), help=advice)
    refusal.attempts = others
    return refusal


def _cause(pipeline: Any, rows: Rows, failure: Failure) -> tuple[Optional[str], str]:
    final = last(pipeline)
    kind = name(final)
    if kind.startswith("XGB") and np.ndim(getattr(final, "intercept_", 0)) >= 0 and _targets(final, rows, pipeline) > 1:
        return "XGBoost's exporter writes the first of several targets only", "train one model per target"
    if kind.startswith("XGB") and str(final.get_params().get("objective")) == "reg:logistic":
        return ("XGBoost's exporter leaves out the logistic function of `reg:logistic`",
                "train reg:squarederror on the logit of the target, or XGBClassifier")
    if kind.startswith("LGBM") and final.get_params().get("boosting_type") == "rf":
        return ("LightGBM's exporter adds the trees of boosting_type='rf' up, LightGBM averages them",
                "train with boosting_type='gbdt', or RandomForestClassifier")
    if kind == "SVC" and len(getattr(final, "classes_", ())) == 2 and "probab" in failure.what:
        return ("ONNX Runtime gives each score of a binary SVC in the column of the other class",
                "train SVC(probability=True), or LinearSVC")
    if kind in ("SVC", "SVR", "NuSVC", "NuSVR", "OneClassSVM"):
        return ("ONNX Runtime computes support vector machines in float32, so the differences are rounding",
                "state a tolerance that you accept (rtol=…, atol=…), or train with a smaller C")
    if any(name(part) in ("TfidfVectorizer", "CountVectorizer") for part in parts(pipeline)):
        return "the exporter splits or normalises texts otherwise", \
            "use the default token_pattern and lower-case texts before training (lowercase=False), without strip_accents"
    if families(pipeline) and len(steps_of(pipeline)) > 1 and failure.differing <= failure.of // 4:
        return ("values at a split of a tree take the other branch",
                "put CastTransformer(dtype=np.float32) of skl2onnx.sklapi before the trees, and train again")
    if failure.excess < 1000:
        return "the differences are rounding", \
            f"state a tolerance that you accept: rtol={1e-5 * failure.excess * 2:.1g}"
    return None, "see docs/models.md for what exporters get wrong"


def _targets(final: Any, rows: Rows, pipeline: Any) -> int:
    try:
        shape = np.shape(pipeline.predict(rows.take(np.arange(1)).given))
    except Exception:
        return 1
    return int(shape[1]) if len(shape) == 2 else 1
