"""The demo's pair: two iterations of one model over one table, logistic regression and LightGBM, with classes in words.

Both learn from a third of the rows, so that over the whole table they differ from each other and from the truth.
"""

from __future__ import annotations

import common  # first: sets the thread counts

import lightgbm
import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gbm
from common import OPSET, SEED, golden_of, pick, publish
from datasets import biopsies, biopsies_rows, biopsies_table

NAMES, X, DIAGNOSIS = biopsies()
TRAIN, _ = train_test_split(np.arange(len(X)), train_size=190, stratify=DIAGNOSIS, random_state=SEED)


def write(name: str, fitted, model, label: str, probability: str) -> np.ndarray:
    """Publishes one iteration; returns its labels."""
    classes = [str(c) for c in fitted.classes_]
    labels, p = fitted.predict(X), fitted.predict_proba(X)
    answers = [[str(l), *map(float, row)] for l, row in zip(labels, p)]
    chosen = pick(len(X))
    heads = [label] + [f"{probability}[{i}]" for i in range(len(classes))]
    publish(name, model, biopsies_table(extra={"diagnosis_truth": "text"}),
            biopsies_rows(X, diagnosis_truth=[str(d) for d in DIAGNOSIS]),
            feature_names=NAMES, outputs={"positive": "malignant"},
            expected=["label"] + [f"p_{c}" for c in classes], predictions=answers,
            golden=golden_of(NAMES, X[chosen], heads, [answers[i] for i in chosen]))
    return labels


def main() -> None:
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    regression.fit(X[TRAIN], DIAGNOSIS[TRAIN])
    exported = to_onnx(regression, initial_types=[("X", FloatTensorType([None, 30]))], target_opset=OPSET)
    one = write("breast_cancer_lr", regression, exported, "output_label", "output_probability")

    trees = lightgbm.LGBMClassifier(n_estimators=60, num_leaves=15, **gbm.SETTINGS)
    trees.fit(X[TRAIN], DIAGNOSIS[TRAIN])
    two = write("breast_cancer_lgbm", trees, gbm.export(trees, 30), "label", "probabilities")
    print(f"  wrong: {np.sum(one != DIAGNOSIS)} and {np.sum(two != DIAGNOSIS)}; disagree: {np.sum(one != two)}")


if __name__ == "__main__":
    main()
