"""Digits: 64 pixels in one `vector<float, 64>`, a single feature of width 64."""

from __future__ import annotations

import common  # first: sets the thread counts

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from common import OPSET, Feature, Table, golden_of, pick, publish


def main() -> None:
    data = load_digits()
    regression = make_pipeline(MinMaxScaler((0, 1)), LogisticRegression(max_iter=2000, C=2.0))
    regression.fit(data.data[900:], data.target[900:])
    model = to_onnx(regression, initial_types=[("X", FloatTensorType([None, 64]))], target_opset=OPSET,
                    options={"zipmap": False})
    pixels = data.data[:600]
    answers = [[int(l), *map(float, row)] for l, row in zip(regression.predict(pixels), regression.predict_proba(pixels))]
    rows = [{"id": i + 1, "pixels": [np.float32(v) for v in row]} for i, row in enumerate(pixels)]
    rows[5]["pixels"] = None
    chosen = pick(len(pixels))
    publish("digits_vector", model, Table("digits", {"id": "int", "pixels": "vector<float, 64>"}), rows,
            features=[Feature("pixels", "pixels", {"width": 64})], wide={"X": ["pixels"]},
            expected=["label"] + [f"p_{i}" for i in range(10)],
            predictions=[None if i == 5 else a for i, a in enumerate(answers)],
            golden=golden_of([f"X[{i}]" for i in range(64)], pixels[chosen],
                             ["label"] + [f"probabilities[{i}]" for i in range(10)], [answers[i] for i in chosen]))


if __name__ == "__main__":
    main()
