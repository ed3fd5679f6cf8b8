"""Calls the exporters, with the options that make them right, and mends what they are known to write wrongly."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from ..errors import InvalidInput
from . import graph, texts
from .columns import Rows
from .families import Plan, last, name, parts, steps_of

OPSET = {"": 17, "ai.onnx.ml": 3}


def need() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise InvalidInput("python.missing", f"{error.name} is not installed", help="pip install 'helenus[export]'") from None


def convert(pipeline: Any, rows: Rows, plan: Plan, metadata: Mapping[str, str]) -> bytes:
    """Returns the ONNX file. Raises whatever the exporters raise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name(last(pipeline)).startswith("CatBoost"):
            model = _catboost(pipeline, rows, plan)
        else:
            model = _sklearn(pipeline, rows, plan)
    graph.give_floats(model)
    graph.settle(model, metadata)
    return model.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def _sklearn(pipeline: Any, rows: Rows, plan: Plan) -> Any:
    _register()
    pipeline = _with_exact_steps(pipeline)
    pipeline, options = texts.prepared(pipeline, rows)
    final = last(pipeline)
    if plan.cast:
        pipeline = _with_cast(pipeline)
    of_final = _options(final)
    if of_final:
        options[id(final)] = of_final
    model = _to_onnx(pipeline, rows, plan, options)
    graph.declare_tree_outputs(model)
    return model


def _to_onnx(pipeline: Any, rows: Rows, plan: Plan, options: dict[int, dict[str, Any]]) -> Any:
    from skl2onnx import to_onnx

    imputed: dict[str, list[float]] = {}
    with graph.exact_numbers(pipeline, plan.double_trees, imputed):
        model = to_onnx(pipeline, initial_types=_initial_types(rows, plan), target_opset=OPSET, options=options or None)
    if not plan.wide and len(model.graph.input) == len(rows.names):
        for entry, feature in zip(list(model.graph.input), rows.names):
            graph.rename_input(model, entry.name, feature)  # the exporter puts `_` for blanks
    if plan.numbers == "double":
        graph.impute_doubles(model, imputed)
    texts.use_portable_locale(model)
    return model


def _options(estimator: Any) -> dict[str, Any]:
    """Returns a classifier's options: a tensor instead of a ZipMap, and scores as they are where it has no probabilities."""
    from skl2onnx._supported_operators import _get_sklearn_operator_name
    from skl2onnx.common._registration import _converter_pool

    if not hasattr(estimator, "classes_") or not hasattr(estimator, "predict"):
        return {}
    try:
        allowed = _converter_pool[_get_sklearn_operator_name(type(estimator))].get_allowed_options() or {}
    except (KeyError, RuntimeError):
        return {}
    options: dict[str, Any] = {}
    if "zipmap" in allowed:
        options["zipmap"] = False
    if "raw_scores" in allowed and not hasattr(estimator, "predict_proba"):
        options["raw_scores"] = True
    return options


def _initial_types(rows: Rows, plan: Plan) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import (
        BooleanTensorType, DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType,
    )

    types = {"float": FloatTensorType, "double": DoubleTensorType, "int64": Int64TensorType, "bool": BooleanTensorType,
             "string": StringTensorType}
    if plan.wide:
        return [("X", types[wide_kind(rows, plan)]([None, len(rows.names)]))]
    return [(feature, types[plan.kind(kind)]([None, 1])) for feature, kind in rows.kinds.items()]


def wide_kind(rows: Rows, plan: Plan) -> str:
    return "string" if "string" in rows.kinds.values() else plan.kind("double")


def _with_cast(pipeline: Any) -> Any:
    """Puts a cast to float before the last step. Trees of scikit-learn and XGBoost cast by themselves, so it changes nothing."""
    from sklearn.pipeline import Pipeline
    from skl2onnx.sklapi import CastTransformer

    steps = steps_of(pipeline)
    steps = [*steps[:-1], CastTransformer(dtype=np.float32), steps[-1]]
    return Pipeline([(f"step{at}", step) for at, step in enumerate(steps)])


def _with_exact_steps(pipeline: Any) -> Any:
    """Returns the pipeline with a twin of the last step that its exporter takes."""
    final = last(pipeline)
    kind = name(final)
    if kind.startswith("XGB"):
        twin = copy.deepcopy(final)
        booster = twin.get_booster()
        booster.feature_names = booster.feature_types = None  # the exporter knows f0, f1, … only
        return _replaced(pipeline, twin)
    return pipeline


def _replaced(pipeline: Any, final: Any) -> Any:
    from sklearn.pipeline import Pipeline

    steps = [*steps_of(pipeline)[:-1], final]
    return final if len(steps) == 1 else Pipeline([(f"step{at}", step) for at, step in enumerate(steps)])


def _register() -> None:
    """Teaches skl2onnx LightGBM's and XGBoost's estimators, where they are installed."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes as classifier, calculate_linear_regressor_output_shapes as regressor,
    )

    zipmap = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    try:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    except ImportError:
        pass
    else:
        update_registered_converter(lightgbm.LGBMClassifier, "LgbmClassifier", classifier, convert_lightgbm, options=zipmap)
        update_registered_converter(lightgbm.LGBMRegressor, "LgbmRegressor", regressor, convert_lightgbm, options={"split": None})
    try:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError:
        pass
    else:
        for kind in (xgboost.XGBClassifier, xgboost.XGBRFClassifier):
            update_registered_converter(kind, "XGBoost" + kind.__name__, classifier, convert_xgboost, options=zipmap)
        for kind in (xgboost.XGBRegressor, xgboost.XGBRFRegressor):
            update_registered_converter(kind, "XGBoost" + kind.__name__, regressor, convert_xgboost)


def needs_package(pipeline: Any) -> None:
    """Raises if the exporter of a part is not installed."""
    kinds = {name(part) for part in parts(pipeline)}
    if any(kind.startswith(("LGBM", "XGB")) for kind in kinds):
        try:
            import onnxmltools  # noqa: F401
        except ImportError:
            raise InvalidInput("python.missing", "onnxmltools is not installed", help="pip install 'helenus[export]'") from None


def _catboost(pipeline: Any, rows: Rows, plan: Plan) -> Any:
    """CatBoost has an exporter of its own; the steps before it are exported by skl2onnx and put in front."""
    import onnx
    from onnx import compose

    final = last(pipeline)
    with tempfile.TemporaryDirectory(prefix="helenus-") as folder:
        path = Path(folder, "model.onnx")
        final.save_model(str(path), format="onnx")
        trees = onnx.load(path)
    for output in trees.graph.output:
        shape = output.type.tensor_type.shape
        if output.type.HasField("tensor_type") and output.name == "predictions" and len(shape.dim) == 1:
            shape.dim.add().dim_value = 1  # CatBoost declares [N] for [N, 1]
    graph.rename_output(trees, "predictions", "variable")  # as other regressions have it
    before = steps_of(pipeline)[:-1]
    if not before:
        if plan != Plan("float", plan.wide):
            raise ValueError("CatBoost's own export has float inputs")
        graph.rename_input(trees, trees.graph.input[0].name, "X")
        return trees
    from sklearn.pipeline import Pipeline
    from skl2onnx.sklapi import CastTransformer

    front_steps = Pipeline([(f"step{at}", step) for at, step in enumerate([*before, CastTransformer(dtype=np.float32)])])
    front_steps, options = texts.prepared(front_steps, rows)
    front = _to_onnx(front_steps, rows, plan, options)
    graph.align(front, trees)
    joined = (front.graph.output[0].name, trees.graph.input[0].name)
    return compose.merge_models(front, trees, io_map=[joined], prefix2="catboost_" if _clash(front, trees) else "")


def _clash(one: Any, two: Any) -> bool:
    def names(model: Any) -> set[str]:
        g = model.graph
        return {n for node in g.node for n in (*node.input, *node.output, node.name) if n} | {i.name for i in g.initializer}

    return bool(names(one) & names(two))


def floor32(value: float) -> float:
    """Returns the largest float32 that is not above a double: x <= it decides as x <= the double does for every float32 x."""
    if not math.isfinite(value):
        return value
    rounded = np.float32(value)
    return float(np.nextafter(rounded, np.float32("-inf"))) if float(rounded) > value else float(rounded)
