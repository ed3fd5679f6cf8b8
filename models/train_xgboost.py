"""XGBoost on breast cancer with missing values: NaN takes the branch learned for it. One feature is a boolean."""

from __future__ import annotations

import common  # first: sets the thread counts

import numpy as np
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from common import OPSET, SEED, Feature, Table, golden_of, pick, publish
from datasets import biopsies, column_of, holes


def main() -> None:
    names, exact, diagnosis = biopsies()
    names, given = [*names[:10], "large"], np.column_stack([exact[:, :10], exact[:, 3] > 700])
    given[:, :10][holes((len(given), 10), 0.1, 5)] = np.nan
    given[holes(len(given), 0.05, 6), 10] = np.nan
    malignant = (diagnosis == "malignant").astype(int)
    trees = xgboost.XGBClassifier(n_estimators=40, max_depth=3, learning_rate=0.2, n_jobs=1, random_state=SEED)
    trees.fit(given[:400], malignant[:400])
    model = convert_xgboost(trees, initial_types=[("X", FloatTensorType([None, 11]))], target_opset=OPSET[""])
    labels, p = trees.predict(given), trees.predict_proba(given)
    answers = [[int(l), *map(float, row)] for l, row in zip(labels, p)]

    rows = []
    for i, values in enumerate(given):
        cells = {column_of(n): None if np.isnan(v) else np.float32(v) for n, v in zip(names[:10], values)}
        rows.append({"id": i + 1} | cells | {"large": None if np.isnan(values[10]) else bool(values[10])})
    table = Table("screenings", {"id": "bigint", **{column_of(n): "float" for n in names[:10]}, "large": "boolean"})
    chosen = pick(len(given))
    publish("breast_cancer_xgb", model, table, rows,
            features=[Feature(n, column_of(n), {"null": "nan"}) for n in names], feature_names=names,
            expected=["label", "p_0", "p_1"], predictions=answers,
            golden=golden_of(names, given[chosen], ["label", "probabilities[0]", "probabilities[1]"],
                             [answers[i] for i in chosen]))


if __name__ == "__main__":
    main()
