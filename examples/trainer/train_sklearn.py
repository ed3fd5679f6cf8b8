#!/usr/bin/env python3
"""Trains a logistic regression with scikit-learn. Rows with a null feature are left out.

    helenus trainer --config trainer.toml
"""
from rows import Rows, golden_rows, write  # first: sets the thread counts

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows = Rows()
golden = golden_rows(rows)
whole = ~np.isnan(rows.x).any(axis=1)
x, y = rows.x[whole], rows.y[whole]
fit, check = train_test_split(np.arange(len(x)), test_size=0.2, random_state=rows.about["seed"] % 2**31)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[fit], y[fit])
probabilities = model.predict_proba(golden)
outputs = {"output_label": model.predict(golden)}
outputs |= {f"output_probability[{at}]": probabilities[:, at] for at in range(probabilities.shape[1])}
inputs = [("X", FloatTensorType([None, x.shape[1]]))]
onnx = to_onnx(model, initial_types=inputs, target_opset={"": 17, "ai.onnx.ml": 3})
metrics = {"accuracy": float(model.score(x[check], y[check]))}
write(rows, onnx.SerializeToString(), outputs, metrics)
print(f"trained on {len(fit)} rows: {metrics}")
