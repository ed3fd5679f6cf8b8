"""What must not be pushed is refused with the reason, and nothing is registered."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from catboost import CatBoostRegressor

import helenus
from conftest import Sandbox
from data import HOLDOUT, NUMBERS, TRAIN, band, homes, is_dear, price, reviews

H = homes()
COLUMNS = ColumnTransformer([("t", OneHotEncoder(), ["city", "kind of home"])], sparse_threshold=1.0)
REVIEWS, LABELS = reviews(accents=True)
SINGLE = H[NUMBERS].astype(np.float32)
REFUSED: dict[str, tuple[Any, Any, Any, str, str]] = {
    # Case 05: the exporter writes zeros for two of three targets.
    "xgboost_targets": (xgboost.XGBRegressor(n_estimators=10), H[NUMBERS], np.column_stack([price(H)] * 3) * [1, 2, -1],
                        "export.differs", "first of several targets"),
    # Case 05, too.
    "xgboost_logistic": (xgboost.XGBRegressor(objective="reg:logistic", n_estimators=10), H[NUMBERS], price(H) / price(H).max(), "export.differs",
                         "leaves out the logistic function"),
    "lightgbm_forest": (lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.5, n_estimators=10, verbose=-1), H[NUMBERS],
                        band(H), "export.differs", "LightGBM averages them"),
    "xgboost_sparse": (make_pipeline(COLUMNS, xgboost.XGBRegressor(n_estimators=10)), H, price(H), "export.sparse", "zeros XGBoost reads as missing"),
    "xgboost_missing": (xgboost.XGBRegressor(n_estimators=5, missing=0.0), H[NUMBERS], price(H), "export.missing", "missing=0.0"),
    "xgboost_categories": (xgboost.XGBRegressor(n_estimators=5, enable_categorical=True), H[["rooms", "city"]].astype({"city": "category"}), price(H),
                           "export.category", "pandas' type `category`"),
    "hist_categories": (HistGradientBoostingRegressor(max_iter=5, categorical_features=[0]), H[NUMBERS], price(H),
                        "export.categories", "drops the categories"),
    "lightgbm_zeros": (lightgbm.LGBMRegressor(n_estimators=5, zero_as_missing=True, verbose=-1), H[NUMBERS], price(H), "export.missing", "zero_as_missing"),
    "catboost_categories": (CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, cat_features=["city"]), H[["rooms", "city"]], price(H),
                            "export.categories", "CatBoost exports no categorical"),
    # Case 12.
    "forest_targets": (RandomForestClassifier(5), H[NUMBERS], np.column_stack([band(H), band(H) > 0]), "export.targets", "[targets, rows, classes]"),
    # Case 17.
    "text_capitals": (make_pipeline(TfidfVectorizer(), LogisticRegression()), REVIEWS, LABELS, "export.lower_case", "'ÓTIMO"),
    "text_accents_stripped": (make_pipeline(TfidfVectorizer(strip_accents="unicode"), LogisticRegression()), REVIEWS.str.lower(), LABELS,
                              "export.", ""),
    # The scaler computes in float32 here, in an order of its own.
    "float32_scaler": (make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=60, max_depth=4, random_state=0)), SINGLE, price(H),
                       "export.differs", "split of a tree"),
    # Case 23.
    "svr": (make_pipeline(StandardScaler(), SVR(C=1e4)), H[NUMBERS], price(H), "export.differs", "rounding"),
    "no_exporter": (TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), H[NUMBERS], price(H), "export.unsupported",
                    "there is no exporter for sklearn.compose._target.TransformedTargetRegressor"),
    "times": (Ridge(), H[["rooms"]].assign(sold=pd.Timestamp("2026-01-01")), price(H), "export.time", "times"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_export_is_refused_with_its_reason(name: str, sandbox: Sandbox) -> None:
    pipeline, frame, target, code, reason = REFUSED[name]
    fitted = pipeline.fit(frame[TRAIN] if name != "times" else frame[["rooms"]][TRAIN], target[TRAIN])
    with pytest.raises(helenus.ExportRefused) as refused:
        sandbox.h.push(name, fitted, frame[HOLDOUT])
    assert refused.value.code.startswith(code)
    assert reason in str(refused.value)
    assert refused.value.help
    assert name not in sandbox.h.models


def test_a_stated_tolerance_accepts_rounding(sandbox: Sandbox) -> None:
    machine = make_pipeline(StandardScaler(), SVR(C=1e4)).fit(H[NUMBERS][TRAIN], price(H)[TRAIN])
    version = sandbox.h.push("rounded", machine, H[NUMBERS][HOLDOUT], rtol=1e-2, atol=1)
    assert version.state == "ready"


@pytest.mark.parametrize(("given", "code"), [
    (lambda m: {"X_holdout": None}, "export.no_rows"),
    (lambda m: {"X_holdout": H[NUMBERS].to_numpy()[HOLDOUT]}, "export.features"),
    (lambda m: {"X_holdout": H[NUMBERS].to_numpy()[HOLDOUT], "features": ["a"]}, "export.features"),
    (lambda m: {"X_holdout": H[NUMBERS].rename(columns={"built": "rooms"})[HOLDOUT]}, "export.feature_twice"),
    (lambda m: {"X_holdout": H[NUMBERS][HOLDOUT], "classes": ["only one"]}, "export.classes"),
    (lambda m: {"X_holdout": H[NUMBERS][HOLDOUT], "text": {"built": "upper"}}, "export.text"),
    (lambda m: {"X_holdout": H[["rooms"]][HOLDOUT]}, "export.rows"),
])
def test_wrong_arguments_are_named(given: Any, code: str, sandbox: Sandbox) -> None:
    trained = LogisticRegression(max_iter=2000).fit(H[NUMBERS].to_numpy()[TRAIN], is_dear(H)[TRAIN])
    with pytest.raises(helenus.InvalidInput) as refused:
        sandbox.h.push("wrong", trained, **given(trained))
    assert refused.value.code == code


def test_lightgbm_does_not_check_the_order_of_columns_and_push_does(sandbox: Sandbox) -> None:
    trees = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(H[NUMBERS][TRAIN], price(H)[TRAIN])
    with pytest.raises(helenus.InvalidInput) as refused:
        sandbox.h.push("order", trees, H[NUMBERS[::-1]][HOLDOUT])
    assert refused.value.code == "export.order"


def test_what_admission_rejects_is_not_registered(sandbox: Sandbox, tmp_path: Any) -> None:
    broken = tmp_path / "model.onnx"
    broken.write_bytes(b"this is not a model")
    with pytest.raises(helenus.NegativeAnswer) as rejected:
        sandbox.h.push("broken", broken)
    assert rejected.value.code.startswith("model.")
    assert "broken" not in sandbox.h.models


def test_an_unfitted_estimator_and_a_booster_are_named(sandbox: Sandbox) -> None:
    for wrong, code in ((LogisticRegression(), "export.not_fitted"), (42, "export.unknown"),
                        (lightgbm.train({"verbose": -1}, lightgbm.Dataset(H[NUMBERS], price(H)), 2), "export.booster")):
        with pytest.raises(helenus.InvalidInput) as refused:
            sandbox.h.push("wrong", wrong, H[NUMBERS][HOLDOUT])
        assert refused.value.code == code
