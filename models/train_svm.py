"""Support vector machines, whose output named `probabilities` holds decision values.

Wine (three classes) and a linear one on breast cancer. Not a binary SVC: see `tests/hostile/svc_swapped.onnx`.
"""

from __future__ import annotations

import common  # first: sets the thread counts

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from common import OPSET, SEED, Table, float32, golden_of, pick, publish
from datasets import biopsies, biopsies_rows, biopsies_table, column_of, wine


def kernel() -> None:
    names, exact, cultivar = wine()
    machine = make_pipeline(StandardScaler(), SVC()).fit(exact[::2], cultivar[::2])
    model = convert_sklearn(machine, initial_types=[("X", FloatTensorType([None, 13]))], target_opset=OPSET,
                            options={"zipmap": False})
    labels, scores = machine.predict(exact), machine.decision_function(exact)
    answers = [[str(l), *map(float, row)] for l, row in zip(labels, scores)]
    rows = [{"id": i + 1} | {column_of(n): float(v) for n, v in zip(names, values)} for i, values in enumerate(exact)]
    chosen = pick(len(exact))
    publish("wine_svc", model, Table("wine_samples", {"id": "int", **{column_of(n): "double" for n in names}}), rows,
            metadata={"helenus.classes": '["Barbera", "Barolo", "Grignolino"]'}, feature_names=names,
            expected=["label", "score_barbera", "score_barolo", "score_grignolino"], predictions=answers,
            golden=golden_of([f"X[{i}]" for i in range(13)], float32(exact[chosen]),
                             ["label"] + [f"probabilities[{i}]" for i in range(3)], [answers[i] for i in chosen]))


def linear() -> None:
    """Declared [N, 1], returned [N, 2]: what comes back counts."""
    names, exact, diagnosis = biopsies()
    machine = make_pipeline(StandardScaler(), LinearSVC(C=0.05, random_state=SEED)).fit(exact[:300], diagnosis[:300])
    model = convert_sklearn(machine, initial_types=[("X", FloatTensorType([None, 30]))], target_opset=OPSET,
                            options={LinearSVC: {"raw_scores": True}})
    labels, scores = machine.predict(exact), machine.decision_function(exact)
    answers = [[str(l), -float(s), float(s)] for l, s in zip(labels, scores)]
    chosen = pick(len(exact))
    publish("breast_cancer_linear_svc", model, biopsies_table("margin_biopsies"), biopsies_rows(exact),
            feature_names=names, expected=["label", "score_benign", "score_malignant"], predictions=answers,
            golden=golden_of(names, exact[chosen], ["label", "probabilities[0]", "probabilities[1]"],
                             [answers[i] for i in chosen]))


if __name__ == "__main__":
    kernel()
    linear()
