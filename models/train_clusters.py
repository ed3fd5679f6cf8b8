"""Without a target: KMeans on iris (cluster and distances), IsolationForest on breast cancer (-1 or 1, and a score)."""

from __future__ import annotations

import common  # first: sets the thread counts

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common import OPSET, SEED, Table, float32, golden_of, pick, publish
from datasets import biopsies, biopsies_rows, biopsies_table, column_of, iris


def clusters() -> None:
    names, exact, _ = iris()
    means = make_pipeline(StandardScaler(), KMeans(4, n_init=3, random_state=SEED)).fit(exact)
    model = to_onnx(means, initial_types=[("X", FloatTensorType([None, 4]))], target_opset=OPSET)
    answers = [[int(l), *map(float, row)] for l, row in zip(means.predict(exact), means.transform(exact))]
    rows = [{"id": i + 1} | {column_of(n): float(v) for n, v in zip(names, values)} for i, values in enumerate(exact)]
    chosen = pick(len(exact))
    publish("iris_kmeans", model, Table("flowers", {"id": "int", **{column_of(n): "double" for n in names}}), rows,
            feature_names=names, expected=["label"] + [f"score_{i}" for i in range(4)], predictions=answers,
            golden=golden_of(names, float32(exact[chosen]), ["label"] + [f"scores[{i}]" for i in range(4)],
                             [answers[i] for i in chosen]),
            tolerance=(1e-5, 1e-5, "|x|^2 - 2xc + |c|^2 cancels in float32: 1e-6 in a square is 5e-6 in a distance of 0.1."))


def outliers() -> None:
    names, exact, _ = biopsies()
    forest = IsolationForest(n_estimators=30, max_samples=64, contamination=0.05, random_state=SEED, n_jobs=1).fit(exact)
    model = to_onnx(forest, initial_types=[("X", FloatTensorType([None, 30]))], target_opset=OPSET)
    answers = [[int(l), float(s)] for l, s in zip(forest.predict(exact), forest.decision_function(exact))]
    chosen = pick(len(exact))
    publish("breast_cancer_isolation", model, biopsies_table("odd_biopsies"), biopsies_rows(exact), feature_names=names,
            columns={"inlier": {"output": "label"}, "normality": {"output": "scores"}},
            expected=["inlier", "normality"], predictions=answers,
            golden=golden_of(names, exact[chosen], ["label", "scores"], [answers[i] for i in chosen]))


if __name__ == "__main__":
    clusters()
    outliers()
