"""Random forest on breast cancer: `double` columns, feature names inside the file, nulls that reject their row."""

from __future__ import annotations

import common  # first: sets the thread counts

import json

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from common import OPSET, SEED, golden_of, pick, publish
from datasets import biopsies, biopsies_rows, biopsies_table, holes


def main() -> None:
    names, _, diagnosis = biopsies()
    exact = load_breast_cancer().data
    forest = RandomForestClassifier(n_estimators=30, max_depth=6, random_state=SEED, n_jobs=1).fit(exact, diagnosis)
    model = to_onnx(forest, initial_types=[("X", FloatTensorType([None, 30]))], target_opset=OPSET,
                    options={"zipmap": False})

    stored = exact.copy()
    stored[holes(len(exact), 0.03, 1), 3] = np.nan
    stored[holes(len(exact), 0.01, 2), 27] = np.nan
    labels, p = forest.predict(exact), forest.predict_proba(exact)
    answers = [[str(l), *map(float, row)] for l, row in zip(labels, p)]
    chosen = pick(len(exact))
    publish("breast_cancer_forest", model, biopsies_table("forest_biopsies", "double"), biopsies_rows(stored),
            metadata={"helenus.features": json.dumps(names)},
            expected=["label"] + [f"p_{c}" for c in forest.classes_],
            predictions=[None if np.isnan(row).any() else answer for row, answer in zip(stored, answers)],
            golden=golden_of(names, exact[chosen], ["label", "probabilities[0]", "probabilities[1]"],
                             [answers[i] for i in chosen]))


if __name__ == "__main__":
    main()
