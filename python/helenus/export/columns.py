"""Rows as the library takes them and as tensors: names, kinds of values, transformations of texts."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Optional, Sequence

import numpy as np

from ..errors import ExportRefused, InvalidInput

#: How many rows are made by shuffling columns, and how many held-out rows are compared at most.
SHUFFLED, MOST = 1000, 20_000
STEPS = {"trim": str.strip, "nfc": lambda text: unicodedata.normalize("NFC", text), "lower": str.lower}


@dataclass(frozen=True)
class Rows:
    """`given` is what the library is called with; `columns` are its values by feature, and `kinds` their types."""

    given: Any
    columns: dict[str, "np.ndarray[Any, Any]"]
    kinds: dict[str, str]
    text: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline: Any, given: Any, features: Optional[Sequence[str]], text: Mapping[str, str]) -> "Rows":
        if hasattr(given, "columns"):
            if features is not None and list(features) != [str(name) for name in given.columns]:
                raise InvalidInput("export.features", "features differ from the DataFrame's columns",
                                   help="leave `features` out: the DataFrame names its columns")
            names = [str(name) for name in given.columns]
            values = [given.iloc[:, at] for at in range(len(names))]
        elif hasattr(given, "iloc") or isinstance(given, (list, tuple)):  # a Series or a list: texts
            names = [str(features[0] if features else getattr(given, "name", None) or "text")]
            values = [given]
        else:
            given = np.asarray(given)
            names = _names(pipeline, given, features)
            values = [given[:, at] for at in range(len(names))] if given.ndim == 2 else [given]
        if len(set(names)) != len(names):
            raise InvalidInput("export.feature_twice", "two columns have the same name")
        _check_order(pipeline, names)
        used = _used(pipeline, names)
        columns = {name: column(name, value) for name, value in zip(names, values) if name in used}
        unknown = sorted(set(text) - set(columns))
        if unknown:
            raise InvalidInput("export.text", f"`{unknown[0]}` is not a feature", where="text")
        for name, steps in text.items():
            for step in steps.split("+"):
                if step not in STEPS:
                    raise InvalidInput("export.text", f"`{steps}` is not a transformation of texts", where=f"text[{name!r}]",
                                       help="use lower, nfc, trim, or several joined by +, as in the job's manifest")
        kinds = {name: kind(name, values) for name, values in columns.items()}
        rows = cls(given, columns, kinds, dict(text))
        return rows.take(np.arange(min(len(rows), MOST)))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def names(self) -> list[str]:
        return list(self.columns)

    def take(self, index: "np.ndarray[Any, Any]") -> "Rows":
        if hasattr(self.given, "iloc"):
            given = self.given.iloc[index]
        elif isinstance(self.given, (list, tuple)):
            given = [self.given[at] for at in index]
        else:
            given = self.given[index]
        return replace(self, given=given, columns={name: values[index] for name, values in self.columns.items()})

    def without_null_texts(self) -> tuple["Rows", int]:
        """Returns the rows whose texts are all there, and the number of the others."""
        whole = np.ones(len(self), dtype=bool)
        for name, values in self.columns.items():
            if self.kinds[name] == "string":
                whole &= np.array([isinstance(value, str) for value in values], dtype=bool)
        if not whole.any():
            raise InvalidInput("export.no_rows", "every held-out row has a null text, which no tensor holds",
                               help="hold out rows without nulls in their text columns")
        return (self, 0) if whole.all() else (self.take(np.flatnonzero(whole)), int((~whole).sum()))

    def shuffled(self) -> list["Rows"]:
        """Returns rows whose columns were shuffled one by one: more values meet each other than in the rows as they are."""
        if len(self.columns) < 2 or len(self) < 2:
            return []
        chance = np.random.default_rng(0)
        orders = [chance.integers(0, len(self), SHUFFLED) for _ in self.columns]
        columns = {name: values[order] for (name, values), order in zip(self.columns.items(), orders)}
        if hasattr(self.given, "columns"):
            given = self.given.iloc[np.resize(np.arange(len(self)), SHUFFLED)].reset_index(drop=True)
            positions = [[str(name) for name in given.columns].index(name) for name in columns]
            parts = {
                given.columns[at]: self.given.iloc[:, at].iloc[order].reset_index(drop=True)
                for at, order in zip(positions, orders)
            }
            given = given.assign(**parts) if all(isinstance(name, str) for name in parts) else given
            if not all(isinstance(name, str) for name in parts):
                return []
        else:
            given = np.column_stack(list(columns.values())).astype(self.given.dtype, copy=False)
        return [replace(self, given=given, columns=columns)]

    def is_float32(self) -> bool:
        """Whether every number is a float32 exactly."""
        for name, values in self.columns.items():
            if self.kinds[name] == "string":
                continue
            exact = values.astype(np.float64)
            with np.errstate(over="ignore"):
                rounded = exact.astype(np.float32).astype(np.float64)
            if not np.array_equal(exact, rounded, equal_nan=True):
                return False
        return True

    def largest_integer(self) -> float:
        sizes = [float(np.abs(values.astype(np.float64)).max(initial=0.0))
                 for name, values in self.columns.items() if self.kinds[name] == "int64"]
        return max(sizes, default=0.0)

    def tensor(self, name: str, kind: str) -> "np.ndarray[Any, Any]":
        """Returns a feature's values as the tensor holds them: one of float, double, int64, bool, string."""
        values = self.columns[name]
        if kind == "string":
            steps = [STEPS[step] for step in ("trim", "nfc", "lower") if step in self.text.get(name, "").split("+")]
            texts = []
            for value in values:
                for step in steps:
                    value = step(value)
                texts.append(value)
            return np.array(texts, dtype=object)
        return values.astype({"float": np.float32, "double": np.float64, "int64": np.int64, "bool": np.bool_}[kind])


def column(name: str, values: Any) -> "np.ndarray[Any, Any]":
    """Returns a column's values as numbers (NaN for null), or as Python's texts (None for null)."""
    dtype = getattr(values, "dtype", None)
    if dtype is not None and str(dtype) == "category":
        raise ExportRefused(
            "export.category", f"column `{name}` has pandas' type `category`, whose codes only this DataFrame knows",
            help="train on its texts, with an encoder in the pipeline: OneHotEncoder, OrdinalEncoder or TargetEncoder")
    if dtype is not None and str(dtype).startswith(("datetime", "timedelta", "period")):
        raise ExportRefused("export.time", f"column `{name}` holds times, which are not numbers of a tensor",
                            help="train on epoch days or seconds as numbers; the job says `as = \"epoch_days\"`")
    if dtype is not None and hasattr(values, "to_numpy") and not isinstance(dtype, np.dtype):
        if dtype.kind in "iufb":  # pandas' nullable numbers
            return np.asarray(values.to_numpy(dtype=dtype.numpy_dtype if not values.isna().any() else np.float64,
                                              **({"na_value": np.nan} if values.isna().any() else {})))
        values = values.astype(object)
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array
    texts = np.array([None if _is_null(value) else value for value in array], dtype=object)
    known = [value for value in texts if value is not None]
    if known and all(isinstance(value, (bool, np.bool_)) for value in known):
        return np.array([np.nan if value is None else float(value) for value in texts])
    if known and all(isinstance(value, (int, float, np.number)) for value in known):
        return np.array([np.nan if value is None else float(value) for value in texts])
    strange = next((value for value in known if not isinstance(value, str)), None)
    if strange is not None:
        raise ExportRefused("export.type", f"column `{name}` holds a {type(strange).__name__} beside texts",
                            help="a feature holds numbers or texts, not both: convert the column before training")
    return texts


def kind(name: str, values: "np.ndarray[Any, Any]") -> str:
    if values.dtype == object:
        return "string"
    letters = {"b": "bool", "i": "int64", "u": "int64"}
    return letters.get(values.dtype.kind) or ("float" if values.dtype.itemsize <= 4 else "double")


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")


def _names(pipeline: Any, given: Any, features: Optional[Sequence[str]]) -> list[str]:
    if given.ndim == 1:
        return [str(features[0]) if features else "text"]
    if features is None:
        features = getattr(pipeline, "feature_names_in_", None)
    if features is None:
        raise InvalidInput("export.features", "the held-out rows are an array without names",
                           help="pass a DataFrame, or features=[…] in the order of training: another order predicts something else")
    if len(features) != given.shape[1]:
        raise InvalidInput("export.features", f"{len(features)} feature names for {given.shape[1]} columns")
    return [str(name) for name in features]


def _check_order(pipeline: Any, names: Sequence[str]) -> None:
    """scikit-learn and XGBoost refuse rows in another order themselves; LightGBM and CatBoost's names are compared here."""
    trained = getattr(pipeline, "feature_names_in_", None)
    if trained is None:
        trained = getattr(pipeline, "feature_name_", None) or getattr(pipeline, "feature_names_", None)
    if trained is None or len(trained) != len(names):
        return

    def plain(name: str) -> str:
        return "".join(c if c.isalnum() else "_" for c in name)

    trained = [plain(str(name)) for name in trained]
    given = [plain(name) for name in names]
    if sorted(trained) == sorted(given) and trained != given:
        raise InvalidInput("export.order", "the columns of the held-out rows are in another order than in training",
                           help="select them in the order of training: X_holdout[X_train.columns]")


def _used(pipeline: Any, names: Sequence[str]) -> set[str]:
    """Returns the columns that reach the model: a ColumnTransformer may drop some."""
    from .families import steps_of

    first = steps_of(pipeline)[0]
    transformers = getattr(first, "transformers_", None)
    if type(first).__name__ != "ColumnTransformer" or transformers is None:
        return set(names)
    used: set[str] = set()
    for _, transformer, columns in transformers:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        if isinstance(columns, str):
            columns = [columns]
        if not all(isinstance(name, str) for name in columns):
            return set(names)
        used |= set(columns)
    return used
