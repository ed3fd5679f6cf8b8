"""Which arithmetic an estimator has, and so which ways of exporting it can be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

from ..errors import InvalidInput
from .columns import Rows

FLOAT_TREES = {
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor", "RandomForestClassifier",
    "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor", "GradientBoostingClassifier",
    "GradientBoostingRegressor", "IsolationForest", "XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor",
    "CatBoostClassifier", "CatBoostRegressor",
}
DOUBLE_TREES = {"LGBMClassifier", "LGBMRegressor", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}


@dataclass(frozen=True)
class Plan:
    """A way to export: the type of numeric inputs, one wide input or one a column, where values are cast to float."""

    #: float or double; or own: each column's own type.
    numbers: str
    wide: bool
    #: Values are rounded to float32 before the last step, as its trees do.
    cast: bool = False
    #: Trees compare doubles.
    double_trees: bool = False

    def kind(self, kind: str) -> str:
        """Returns the type of a feature's tensor."""
        if kind == "string" or self.numbers == "own":
            return kind
        return self.numbers

    def __str__(self) -> str:
        parts = ["own types" if self.numbers == "own" else f"{self.numbers} inputs"]
        if self.cast:
            parts.append("a cast to float before the last step")
        if self.double_trees:
            parts.append("trees that compare doubles")
        return ", ".join(parts)


def unwrapped(pipeline: Any) -> Any:
    """Returns what a search over parameters found."""
    return getattr(pipeline, "best_estimator_", pipeline)


def steps_of(pipeline: Any) -> list[Any]:
    """Returns the steps of a pipeline, of pipelines in it, too; an estimator is its own only step."""
    steps = getattr(pipeline, "steps", None)
    if steps is None:
        return [pipeline]
    found = [inner for _, step in steps if step is not None and not isinstance(step, str) for inner in steps_of(step)]
    return found or [pipeline]


def last(pipeline: Any) -> Any:
    return steps_of(pipeline)[-1]


def name(estimator: Any) -> str:
    return type(estimator).__name__


def parts(estimator: Any) -> Iterator[Any]:
    """Yields an estimator and all that are in it."""
    yield estimator
    inner: list[Any] = []
    for attribute in ("steps", "transformers_", "transformer_list", "estimators_", "named_estimators_", "calibrated_classifiers_"):
        value: Any = getattr(estimator, attribute, None)
        if isinstance(value, dict):
            value = list(value.values())
        for item in value if isinstance(value, (list, tuple)) or hasattr(value, "ravel") else []:
            if isinstance(item, tuple) and len(item) > 1:
                item = item[1]
            inner += list(item.ravel()) if hasattr(item, "ravel") else [item]
    inner += [getattr(estimator, attribute, None) for attribute in ("estimator", "final_estimator_", "estimator_")]
    for item in inner:
        if item is not None and hasattr(item, "get_params") and item is not estimator:
            yield from parts(item)


def families(pipeline: Any) -> set[str]:
    """Returns which of float and double trees the last step has, itself or inside."""
    names = {name(part) for part in parts(last(pipeline))}
    found = set()
    if names & FLOAT_TREES:
        found.add("float")
    if names & DOUBLE_TREES:
        found.add("double")
    return found


def is_by_column(pipeline: Any, rows: Rows) -> bool:
    """Whether each column must be an input of its own."""
    kinds = {kind == "string" for kind in rows.kinds.values()}
    first = steps_of(pipeline)[0]
    return len(kinds) > 1 or name(first) == "ColumnTransformer" or (True in kinds and len(rows.names) == 1)


def plans(pipeline: Any, rows: Rows) -> list[Plan]:
    """Returns the ways to export, the most exact first."""
    wide = not is_by_column(pipeline, rows)
    trees = families(pipeline)
    alone = len(steps_of(pipeline)) == 1
    found = []
    if "double" in trees:
        found += [Plan("double", wide, double_trees=True), Plan("float", wide)]
    elif "float" in trees:
        # helenus rounds doubles to float as these libraries do, but rejects integers that a float can't hold.
        if alone and rows.largest_integer() <= 2**24:
            found.append(Plan("float", wide))
        found += [Plan("double", wide, cast=True), Plan("double", wide), Plan("float", wide)]
    else:
        found += [Plan("double", wide), Plan("float", wide), Plan("double", wide, cast=True)]
    if not wide:
        found += [Plan("own", wide, cast="float" in trees, double_trees="double" in trees), Plan("own", wide)]
    return list(dict.fromkeys(found))


def check_fitted(pipeline: Any) -> None:
    if not callable(getattr(pipeline, "predict", None)) and not callable(getattr(pipeline, "transform", None)):
        kind = f"{type(pipeline).__module__}.{name(pipeline)}"
        if name(pipeline) == "Booster":
            raise InvalidInput("export.booster", "a Booster does not know its task and classes",
                               help="train with the library's scikit-learn classes: LGBMClassifier, XGBRegressor …")
        raise InvalidInput("export.unknown", f"{kind} is not a fitted estimator",
                           help="give a fitted estimator or pipeline, or the path of an ONNX file")
    if name(last(pipeline)) == "Booster":
        raise InvalidInput("export.booster", "a Booster does not know its task and classes",
                           help="train with the library's scikit-learn classes: LGBMClassifier, XGBRegressor …")
    try:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(last(pipeline))
    except ImportError:
        return
    except Exception as error:
        if name(error) == "NotFittedError":
            raise InvalidInput("export.not_fitted", f"{name(last(pipeline))} is not fitted", help="call fit() first") from None
