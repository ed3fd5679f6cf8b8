"""Forty classes: too many for a column each, so one `vector<float, 40>`."""

from __future__ import annotations

import common  # first: sets the thread counts

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from common import OPSET, SEED, Table, float32, golden_of, pick, publish


def main() -> None:
    points, blob = make_blobs(n_samples=800, n_features=6, centers=40, cluster_std=2.0, random_state=SEED)
    points = float32(points)
    regression = LogisticRegression(max_iter=3000, C=0.1).fit(points[300:], blob[300:])
    model = to_onnx(regression, initial_types=[("X", FloatTensorType([None, 6]))], target_opset=OPSET,
                    options={"zipmap": False})
    points = points[:300]
    p = regression.predict_proba(points)
    answers = [[int(l), list(map(float, row))] for l, row in zip(regression.predict(points), p)]
    names = [f"x{i}" for i in range(6)]
    rows = [{"id": i + 1} | {n: np.float32(v) for n, v in zip(names, values)} for i, values in enumerate(points)]
    chosen = pick(len(points))
    publish("forty_classes", model, Table("points", {"id": "int", **{n: "float" for n in names}}), rows,
            feature_names=names, expected=["label", "probabilities"], predictions=answers,
            golden=golden_of(names, points[chosen], ["label"] + [f"probabilities[{i}]" for i in range(40)],
                             [[answers[i][0], *answers[i][1]] for i in chosen]))


if __name__ == "__main__":
    main()
