"""A pipeline that is logged to MLflow carries what helenus needs to trust it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import helenus
from conftest import Sandbox
from data import HOLDOUT, NUMBERS, TRAIN, homes, is_dear, price

H = homes()


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'runs'}")
    monkeypatch.chdir(tmp_path)
    import mlflow

    mlflow.set_tracking_uri(f"file:{tmp_path / 'runs'}")
    return mlflow


def folder_of(mlflow: Any, info: Any) -> Path:
    return Path(mlflow.artifacts.download_artifacts(info.model_uri))


def test_a_logged_model_has_golden_rows_features_and_classes(mlflow: Any) -> None:
    import helenus.mlflow

    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(H[NUMBERS][TRAIN], is_dear(H)[TRAIN])
    with mlflow.start_run():
        info = helenus.mlflow.log_model(pipeline, H[NUMBERS][HOLDOUT], reference=H[NUMBERS][TRAIN])
    folder = folder_of(mlflow, info)
    assert (folder / "features.txt").read_text().split() == NUMBERS
    assert len((folder / "reference.csv").read_text().splitlines()) == 1001
    described = (folder / "MLmodel").read_text()
    assert "helenus.classes" in described and "onnx" in described
    checked = subprocess.run([sys.executable, "-m", "helenus", "--output", "json", "model", "check", folder / "model.onnx",
                              "--features", folder / "features.txt", "--golden", folder / "golden.csv"], capture_output=True, text=True)
    answer = json.loads(checked.stdout)
    assert answer["ok"] and answer["warnings"] == [], answer
    assert [o["classes"] for o in answer["result"]["outputs"]] == [None, ["cheap", "dear"]]


def test_a_refused_export_is_not_logged(mlflow: Any) -> None:
    import xgboost

    import helenus.mlflow

    several = xgboost.XGBRegressor(n_estimators=3).fit(H[NUMBERS][TRAIN], H[["area", "rooms"]][TRAIN])
    with mlflow.start_run() as run:
        with pytest.raises(helenus.ExportRefused):
            helenus.mlflow.log_model(several, H[NUMBERS][HOLDOUT])
        assert mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list") == []


def has_import() -> bool:
    return subprocess.run([helenus.find_binary(), "model", "import", "--help"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_import(), reason="this helenus has no `model import`")
def test_helenus_imports_what_was_logged(mlflow: Any, sandbox: Sandbox) -> None:
    import helenus.mlflow

    columns = ColumnTransformer([("n", StandardScaler(), NUMBERS), ("t", OneHotEncoder(sparse_output=False), ["city"])])
    pipeline = make_pipeline(columns, GradientBoostingRegressor(n_estimators=20)).fit(H[TRAIN], price(H)[TRAIN])
    with mlflow.start_run():
        info = helenus.mlflow.log_model(pipeline, H[HOLDOUT])
    made = sandbox.h.run("model", "import", str(folder_of(mlflow, info)), "--name", "homes")
    assert made["state"] == "ready"
    registered = sandbox.h.run("model", "show", "homes")["registered"]
    assert registered["golden_sha256"] and registered["tags"]["mlflow.model_id"]
