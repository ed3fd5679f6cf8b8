#!/usr/bin/env python3
"""The benchmark's models: LightGBM of 100 trees and an MLP over 30 numbers of the breast cancer data
set, and one logistic regression over a category and 29 numbers.

    python3 -m venv .dev/train-venv && .dev/train-venv/bin/pip install -r models/requirements.txt
    .dev/train-venv/bin/python bench/train.py

Writes bench/models/*.onnx, which are committed: the benchmark itself needs no training.
"""

import json
import pathlib

import lightgbm
import numpy as np
import onnx
import pandas
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType as LightGbmFloat
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FOLDER = pathlib.Path(__file__).resolve().parent / "models"
CATEGORIES = ["screening", "referral", "follow-up", "emergency"]


def save(name, model, features=None):
    if features:
        entry = model.metadata_props.add()
        entry.key, entry.value = "helenus.features", json.dumps(features)
    onnx.checker.check_model(model)
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


def main():
    FOLDER.mkdir(exist_ok=True)
    data = load_breast_cancer()
    numbers = data.data.astype(np.float32)
    label = np.where(data.target == 1, "benign", "malignant")
    plain = {"zipmap": False}

    trees = lightgbm.LGBMClassifier(
        n_estimators=100, num_leaves=31, random_state=1, deterministic=True, num_threads=1, verbose=-1
    ).fit(numbers, label)
    converted = convert_lightgbm(
        trees, initial_types=[("X", LightGbmFloat([None, 30]))], zipmap=False, target_opset=15
    )
    save("lgbm100", converted)

    network = make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=500, random_state=1)).fit(numbers, label)
    save("mlp", to_onnx(network, initial_types=[("X", FloatTensorType([None, 30]))], target_opset=15, options=plain))

    names = [name.replace(" ", "_") for name in data.feature_names][1:]
    category = np.random.default_rng(1).choice(CATEGORIES, len(numbers))
    frame = pandas.DataFrame({"category": category, **{name: numbers[:, i + 1] for i, name in enumerate(names)}})
    columns = ColumnTransformer(
        [("category", OneHotEncoder(handle_unknown="ignore"), ["category"]), ("numbers", StandardScaler(), names)]
    )
    mixed = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(frame, label)
    types = [("category", StringTensorType([None, 1]))] + [(name, FloatTensorType([None, 1])) for name in names]
    save("mixed", to_onnx(mixed, initial_types=types, target_opset=15, options=plain))


if __name__ == "__main__":
    main()
