"""A ColumnTransformer, one input a column: text categories, missing numbers, integers.

Twice: an unknown category is ignored (all zeros), or is an error, which fails the whole batch in ONNX Runtime.
"""

from __future__ import annotations

import common  # first: sets the thread counts

import unicodedata
from decimal import Decimal

import numpy as np
import pandas
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from common import OPSET, Feature, Table, float32, pick, publish
from datasets import diabetes, holes, visits_key

CITIES = ["Genève", "Köln", "São Paulo", "Zürich"]
NUMBERS = ["bmi", "bp", "s5"]
COLUMNS = ["age", *NUMBERS, "sex", "city"]


def patients(missing: bool) -> tuple[pandas.DataFrame, np.ndarray]:
    """What the model sees, and the target in words. Cities are invented, and lean towards the target."""
    names, values, target = diabetes()
    place = {n: i for i, n in enumerate(names)}
    chance = np.random.default_rng(7)
    frame = pandas.DataFrame({"age": values[:, place["age"]].astype(np.int64)})
    for i, name in enumerate(NUMBERS):
        frame[name] = float32(values[:, place[name]])
        if missing:
            frame.loc[holes(len(values), 0.06, 10 + i), name] = np.nan
    frame["sex"] = pandas.Series(np.where(values[:, place["sex"]] == 1, "female", "male").astype(object), dtype=object)
    lean = np.clip((target / 90).astype(int) + chance.integers(-1, 2, len(target)), 0, 3)
    frame["city"] = pandas.Series(np.array(CITIES, dtype=object)[lean], dtype=object)
    return frame, np.where(target > 140, "fast", "slow")


def train(frame: pandas.DataFrame, target: np.ndarray, unknown: str):
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer([("numbers", numeric, NUMBERS), ("age", StandardScaler(), ["age"]),
                                 ("words", OneHotEncoder(handle_unknown=unknown), ["sex", "city"])])
    fitted = make_pipeline(columns, LogisticRegression(max_iter=1000, C=0.5)).fit(frame[:300], target[:300])
    types = [("age", Int64TensorType([None, 1]))] + [(n, FloatTensorType([None, 1])) for n in NUMBERS]
    types += [("sex", StringTensorType([None, 1])), ("city", StringTensorType([None, 1]))]
    model = to_onnx(fitted, initial_types=types, target_opset=OPSET, options={"zipmap": False})
    return fitted, model


def table(name: str) -> Table:
    columns = {"clinic": "text", "patient": "int", "visit": "int", "age": "int", "bmi": "double", "bp": "decimal",
               "s5": "float", "sex": "text", "city": "text"}
    return Table(name, columns, "(clinic, patient), visit", ("clinic", "patient", "visit"))


def rows_of(frame: pandas.DataFrame) -> list[dict]:
    """Cells as they are stored; NaN becomes null."""
    rows = []
    for key, (_, line) in zip(visits_key(len(frame)), frame.iterrows()):
        cells = {n: None if pandas.isna(line[n]) else line[n] for n in COLUMNS}
        cells["age"] = int(line["age"])
        if cells["bp"] is not None:
            cells["bp"] = Decimal(str(np.float32(cells["bp"])))
        if cells["bmi"] is not None:
            cells["bmi"] = float(str(np.float32(cells["bmi"])))
        rows.append(key | cells)
    return rows


def predictions(fitted, frame: pandas.DataFrame) -> list[list]:
    return [[str(l), *map(float, row)] for l, row in zip(fitted.predict(frame), fitted.predict_proba(frame))]


def golden(frame: pandas.DataFrame, answers: list[list]) -> tuple[list[str], list[list]]:
    lines = []
    for i in pick(len(frame)):
        seen = [frame[n][i] if n in ("age", "sex", "city") else np.float32(frame[n][i]) for n in COLUMNS]
        lines.append(seen + answers[i])
    return [f"in.{n}" for n in COLUMNS] + ["out.label", "out.probabilities[0]", "out.probabilities[1]"], lines


def ignored() -> None:
    """Rows of the 442: 5, 15, … unknown or empty cities; NFD spelling; blanks around sex; nulls of each kind."""
    frame, target = patients(missing=True)
    fitted, model = train(frame, target, "ignore")
    clean = golden(frame, predictions(fitted, frame))
    rows = rows_of(frame)
    rejected = set()
    for i, row in enumerate(rows):
        if i % 10 == 5:
            row["city"] = ["Atlantis", "", "zürich", "東京", None][i // 10 % 5]
            frame.loc[i, "city"] = "?" if row["city"] is None else row["city"]
        elif i % 10 == 6:
            row["city"] = unicodedata.normalize("NFD", row["city"])
        elif i % 10 == 7:
            row["sex"] = f" {row['sex']}\t"
        elif i % 100 == 8:
            row["age"] = None
            rejected.add(i)
        elif i % 100 == 9:
            row["sex"] = None
            rejected.add(i)
    answers = predictions(fitted, frame)
    publish("diabetes_columns", model, table("patients"), rows,
            features=[Feature("age", "age"), Feature("bmi", "bmi", {"null": "nan"}),
                      Feature("bp", "bp", {"cast": "float", "null": "nan"}), Feature("s5", "s5", {"null": "nan"}),
                      Feature("sex", "sex", {"text": "trim+nfc"}), Feature("city", "city", {"text": "nfc", "null": "?"})],
            expected=["label", "p_fast", "p_slow"], golden=clean,
            predictions=[None if i in rejected else a for i, a in enumerate(answers)])


def refused() -> None:
    """Here text is raw, so NFD spellings are unknown too, and scikit-learn refuses the same rows."""
    frame, target = patients(missing=False)
    fitted, model = train(frame, target, "error")
    answers, rows = predictions(fitted, frame), rows_of(frame)
    clean = golden(frame, answers)
    for i in (0, 40, 41, 42, 130, 299, 441):
        rows[i]["city"] = unicodedata.normalize("NFD", "Köln") if i == 40 else "Atlantis"
        frame.loc[i, "city"] = rows[i]["city"]
        try:
            fitted.predict(frame[i:i + 1])
            raise AssertionError(f"scikit-learn accepts row {i}")
        except ValueError:
            answers[i] = None
    publish("diabetes_strict", model, table("strict_patients"), rows,
            features=[Feature(n, n, {"cast": "float"} if n == "bp" else {}) for n in COLUMNS],
            expected=["label", "p_fast", "p_slow"], predictions=answers, golden=clean)


if __name__ == "__main__":
    ignored()
    refused()
