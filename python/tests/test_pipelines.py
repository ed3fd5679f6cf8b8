"""Real pipelines: what is stored in Cassandra equals what the library predicts, for rows that neither training nor push saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier, GradientBoostingRegressor, HistGradientBoostingClassifier, HistGradientBoostingRegressor,
    RandomForestClassifier, StackingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from conftest import Sandbox, column_of
from data import HOLDOUT, NUMBERS, STORED, TRAIN, band, homes, is_dear, price, public_case, reviews

H, M = homes(), homes(missing=True)
TEXTS = ["city", "kind of home"]


def columns(**encoder: Any) -> ColumnTransformer:
    """Imputes and scales numbers, one-hot encodes texts."""
    return ColumnTransformer([("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
                              ("texts", OneHotEncoder(handle_unknown="ignore", **encoder), TEXTS)])


def lgbm(kind: Any, **more: Any) -> Any:
    return kind(n_estimators=30, verbose=-1, n_jobs=1, **more)


def cat(kind: Any) -> Any:
    return kind(iterations=30, verbose=0, allow_writing_files=False, thread_count=1, random_seed=1)


@dataclass
class Case:
    pipeline: Any
    frame: Any
    target: Any
    #: Prediction column -> what the library gives; None: as of a classifier or a regression.
    columns: Any = None
    #: Lines of the job's manifest.
    features: str = ""
    push: dict[str, Any] = field(default_factory=dict)
    #: Rows for training, for push, and in the table.
    rows: tuple[slice, slice, slice] = (TRAIN, HOLDOUT, STORED)


def public(number: int, pipeline: Any) -> Case:
    frame, target = public_case(number)
    n = len(frame)
    return Case(pipeline, frame, target, rows=(slice(0, n // 2), slice(n // 2, 3 * n // 4), slice(3 * n // 4, n)))


def multi_columns(pipeline: Any, rows: Any) -> dict[str, Any]:
    scores = pipeline.predict_proba(rows)
    return {f"p_probabilities{at + 1}_{c}": scores[at][:, c] for at in (0, 1) for c in (0, 1)} | {"label": pipeline.predict(rows)}


REVIEWS, REVIEW_LABELS = reviews(accents=True)
PLAIN_REVIEWS, PLAIN_LABELS = reviews(accents=False)
CASES = {
    "scaler_logistic": Case(make_pipeline(StandardScaler(), LogisticRegression()), H[NUMBERS], is_dear(H)),
    "columns_logistic": Case(make_pipeline(columns(), LogisticRegression(max_iter=500)), M, is_dear(M)),
    "columns_gradient_boosting": Case(
        make_pipeline(columns(sparse_output=False), GradientBoostingRegressor(n_estimators=60, max_depth=4)), M, price(M)),
    # Case 16: in float 17 of 400 rows are wrong.
    "scaler_gradient_boosting": Case(
        make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=60, max_depth=4, random_state=0)), H[NUMBERS], price(H)),
    "pca_gradient_boosting": Case(
        make_pipeline(StandardScaler(), PCA(2), GradientBoostingClassifier(n_estimators=20)), H[NUMBERS], band(H)),
    "forest": Case(RandomForestClassifier(20, random_state=1), H[NUMBERS], band(H)),
    "columns_forest": Case(make_pipeline(columns(), RandomForestClassifier(20, random_state=1)), M, band(M)),
    "hist_gradient_boosting": Case(HistGradientBoostingClassifier(max_iter=20), M[NUMBERS], band(M)),
    "scaler_hist_boosting": Case(
        make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=20)), M[NUMBERS], price(M)),
    "ordinal_tree": Case(
        make_pipeline(ColumnTransformer([("o", OrdinalEncoder(), TEXTS), ("n", "passthrough", NUMBERS)]), DecisionTreeRegressor(max_depth=6)),
        H, price(H)),
    "stacking": Case(StackingRegressor([("tree", DecisionTreeRegressor(max_depth=4)), ("ridge", Ridge())]),
                     H[NUMBERS], price(H)),
    "calibrated_forest": Case(CalibratedClassifierCV(RandomForestClassifier(5, random_state=1)), H[NUMBERS], is_dear(H)),
    "grid_search": Case(GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]}),
                        H[NUMBERS], is_dear(H)),
    "network": Case(make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=200, random_state=1)), H[NUMBERS], band(H)),
    "two_targets": Case(make_pipeline(StandardScaler(), Ridge()), H[NUMBERS], np.column_stack([price(H), -price(H)])),
    # Case 12.
    "two_classifiers": Case(
        MultiOutputClassifier(LogisticRegression()), H[NUMBERS].astype(float) / 100,
        np.column_stack([is_dear(H) == "dear", H["area"] > 90]).astype(int), multi_columns),
    "linear_svc": Case(make_pipeline(StandardScaler(), LinearSVC(random_state=1)), H[NUMBERS], band(H),
                       lambda p, x: {"label": p.predict(x), **{f"score_{c}": p.decision_function(x)[:, c] for c in range(3)}}),
    "clusters": Case(make_pipeline(StandardScaler(), KMeans(3, random_state=1, n_init=1)), H[NUMBERS], None,
                     lambda p, x: {"label": p.predict(x), **{f"score_{c}": p.transform(x)[:, c] for c in range(3)}}),
    "text": Case(make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)), PLAIN_REVIEWS, PLAIN_LABELS),
    # Case 17: exported as usual, most rows are wrong.
    "text_with_accents": Case(make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)), REVIEWS, REVIEW_LABELS,
                              features='review = { column = "review", text = "lower" }\n', push={"text": {"review": "lower"}}),
    "text_beside_numbers": Case(
        make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "review"), ("n", StandardScaler(), ["length"])]), LogisticRegression()),
        pd.DataFrame({"review": PLAIN_REVIEWS, "length": PLAIN_REVIEWS.str.len().astype(float)}), PLAIN_LABELS),
    # The city is a category, not a text that is lower-cased; `length` is in the table and not in the model.
    "text_beside_a_category": Case(
        make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "review"), ("c", OneHotEncoder(sparse_output=False), ["city"])]),
                      LogisticRegression()),
        pd.DataFrame({"length": REVIEWS.str.len(), "review": REVIEWS, "city": np.where(REVIEWS.str.len() % 2, "Óbidos", "óbidos")}),
        REVIEW_LABELS, features='review = { column = "review", text = "lower" }\n', push={"text": {"review": "lower"}}),
    "public_case_16": public(16, make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=60, max_depth=4, random_state=0))),
    "public_case_23": public(23, LinearRegression()),
    "public_case_25": public(25, LogisticRegression()),
    "public_case_25_trees": public(25, GradientBoostingClassifier(n_estimators=8)),
    "lightgbm": Case(lgbm(lightgbm.LGBMClassifier), M[NUMBERS], is_dear(M)),
    "columns_lightgbm": Case(make_pipeline(columns(sparse_output=False), lgbm(lightgbm.LGBMClassifier)), M, band(M)),
    "scaler_lightgbm": Case(make_pipeline(StandardScaler(), lgbm(lightgbm.LGBMRegressor)), M[NUMBERS], price(M)),
    "xgboost": Case(xgboost.XGBClassifier(n_estimators=30, n_jobs=1), M[NUMBERS], band(M)),
    "columns_xgboost": Case(make_pipeline(columns(sparse_output=False), xgboost.XGBClassifier(n_estimators=30, n_jobs=1)), M, band(M)),
    "xgboost_regression": Case(xgboost.XGBRegressor(n_estimators=30, n_jobs=1), M[NUMBERS], price(M)),
    "catboost": Case(cat(catboost.CatBoostClassifier), M[NUMBERS], is_dear(M)),
    "catboost_regression": Case(cat(catboost.CatBoostRegressor), M[NUMBERS], price(M)),
    "columns_catboost": Case(make_pipeline(columns(sparse_output=False), cat(catboost.CatBoostClassifier)), M, is_dear(M)),
}
#: The columns of a prediction that are not outputs.
OTHERS = {"id", "model_version", "model_sha256", "run_id", "scored_at", "rejected"}


@pytest.mark.parametrize("name", CASES)
def test_stored_predictions_are_those_of_the_library(name: str, sandbox: Sandbox) -> None:
    case, h = CASES[name], sandbox.h
    train, holdout, kept = case.rows
    target = None if case.target is None else case.target[train]
    pipeline = case.pipeline.fit(case.frame[train], *([] if target is None else [target]))
    version = h.push(name, pipeline, case.frame[holdout], **case.push)
    assert version.state == "ready"
    assert not [w for w in version.warnings if not w.startswith(("float_rounding", "ascii_lower", "features_unused"))], version.warnings

    stored = case.frame[kept].reset_index(drop=True)
    frame = stored if isinstance(stored, pd.DataFrame) else stored.to_frame()
    table = sandbox.table(name, frame)
    nullable = "".join(f'{c} = {{ column = "{column_of(c)}", null = "nan" }}\n' for c in frame if frame[c].dtype.kind == "f" and frame[c].isna().any())
    fed = [i["name"] for i in version.raw["found"]["inputs"]] + version.raw["found"]["feature_names"]
    features = "".join(f'"{c}" = "{column_of(c)}"\n' for c in frame if c in fed and f"{c} = {{" not in nullable + case.features)
    h.jobs.create(f'job = "{name}"\nmodel = "{name}"\nversions = [1]\n[source]\ntable = "{table}"\n'
                  f"[features]\n{features}{nullable}{case.features}")
    run = h.jobs[name].score()
    assert (run.state, run.scored, run.rejected) == ("succeeded", len(frame), 0)

    predictions = h.predictions(name, version).set_index("id").sort_index()
    assert len(predictions) == len(frame)
    expected = (case.columns or as_usual)(pipeline, stored)
    outputs_stored = set(predictions.columns) - OTHERS
    assert outputs_stored == set(expected)
    for column, values in expected.items():
        same(column, predictions[column], values)


def test_versions_of_all_kinds_fit_one_job(sandbox: Sandbox) -> None:
    """A logistic regression in double, trees of floats, and CatBoost: one table takes them all."""
    h, target = sandbox.h, is_dear(H)
    models = [make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(5, random_state=1), lgbm(lightgbm.LGBMClassifier),
              cat(catboost.CatBoostClassifier)]
    versions = [h.push("kinds", model.fit(H[NUMBERS][TRAIN], target[TRAIN]), H[NUMBERS][HOLDOUT]) for model in models]
    assert [int(version) for version in versions] == [1, 2, 3, 4]
    table = sandbox.table("kinds", H[NUMBERS][STORED])
    h.jobs.create(f'job = "kinds"\nmodel = "kinds"\nversions = [1, 2, 3, 4]\n[source]\ntable = "{table}"\n')
    assert h.jobs["kinds"].score().scored == 4 * 300


def as_usual(pipeline: Any, rows: Any) -> dict[str, Any]:
    predicted = np.asarray(pipeline.predict(rows))
    if not hasattr(pipeline, "predict_proba"):
        return {"variable": predicted}
    probabilities = pipeline.predict_proba(rows)
    return {"label": predicted.ravel(), **{f"p_{c}": probabilities[:, at] for at, c in enumerate(pipeline.classes_)}}


def same(column: str, got: pd.Series, want: Any) -> None:
    if column == "label" and np.ndim(want) == 1:
        assert [str(v) for v in got] == [str(v) for v in want]
        return
    stored = np.array([np.asarray(v, dtype=float) for v in got])
    np.testing.assert_allclose(stored, np.asarray(want, dtype=float), rtol=1e-5, atol=1e-6, err_msg=column)
