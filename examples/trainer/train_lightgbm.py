#!/usr/bin/env python3
"""Trains gradient boosted trees with LightGBM: a classifier, or a regression if the labels are numbers with fractions.

    helenus trainer --config trainer.toml
"""
from rows import Rows, golden_rows, write  # first: sets the thread counts

import copy
import re

import lightgbm
import numpy as np
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.model_selection import train_test_split

SETTINGS = dict(n_estimators=100, num_leaves=15, learning_rate=0.1, n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True)
OPSET = 15


def floor32(text: str) -> str:
    """LightGBM compares doubles, ONNX holds float32: a threshold that is rounded down decides the same on float32 features."""
    exact, rounded = float(text), np.float32(text)
    down = np.nextafter(rounded, np.float32("-inf")) if float(rounded) > exact else rounded
    return repr(float(down))


def export(model, width: int) -> bytes:
    text = re.sub(r"^threshold=.+$", lambda m: "threshold=" + " ".join(map(floor32, m[0][10:].split())),
                  model.booster_.model_to_string(), flags=re.M)
    text = re.sub(r"^tree_sizes=.+\n", "", text, flags=re.M)  # byte counts of the text before the change
    twin = copy.copy(model)
    twin._Booster = lightgbm.Booster(model_str=text)
    inputs = [("X", FloatTensorType([None, width]))]
    return convert_lightgbm(twin, initial_types=inputs, target_opset=OPSET).SerializeToString()


rows = Rows()
golden = golden_rows(rows)
seed = rows.about["seed"] % 2**31
fit, check = train_test_split(np.arange(len(rows.x)), test_size=0.2, random_state=seed)
if np.issubdtype(rows.y.dtype, np.floating):
    model = lightgbm.LGBMRegressor(random_state=seed, **SETTINGS).fit(rows.x[fit], rows.y[fit])
    error = model.predict(rows.x[check]) - rows.y[check]
    outputs = {"variable": model.predict(golden)}
    metrics = {"rmse": float(np.sqrt(np.mean(error**2)))}
else:
    model = lightgbm.LGBMClassifier(random_state=seed, **SETTINGS).fit(rows.x[fit], rows.y[fit])
    probabilities = model.predict_proba(golden)
    outputs = {"label": model.predict(golden)}
    outputs |= {f"probabilities[{at}]": probabilities[:, at] for at in range(probabilities.shape[1])}
    metrics = {"accuracy": float(model.score(rows.x[check], rows.y[check]))}
write(rows, export(model, rows.x.shape[1]), outputs, metrics)
print(f"trained on {len(fit)} rows: {metrics}")
