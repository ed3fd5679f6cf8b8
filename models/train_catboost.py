"""CatBoost on wine: its exporter always writes ZipMap, names its input `features`, and imports only ai.onnx.ml."""

from __future__ import annotations

import common  # first: sets the thread counts

import tempfile
from pathlib import Path

import numpy as np
import onnx
from catboost import CatBoostClassifier

from common import SEED, Table, float32, golden_of, pick, publish
from datasets import column_of, wine


def main() -> None:
    names, exact, cultivar = wine()
    given = float32(exact)
    trees = CatBoostClassifier(iterations=40, depth=4, random_seed=SEED, thread_count=1, verbose=0,
                               allow_writing_files=False).fit(given[::2], cultivar[::2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        trees.save_model(str(path), format="onnx")
        model = onnx.load(path)
    labels, p = trees.predict(given).ravel(), trees.predict_proba(given)
    answers = [[str(l), *map(float, row)] for l, row in zip(labels, p)]
    rows = [{"id": i + 1} | {column_of(n): np.float32(v) for n, v in zip(names, values)} for i, values in enumerate(given)]
    chosen = pick(len(given))
    publish("wine_catboost", model, Table("wine_lots", {"id": "int", **{column_of(n): "float" for n in names}}), rows,
            feature_names=names, expected=["label"] + [f"p_{c.lower()}" for c in trees.classes_], predictions=answers,
            golden=golden_of(names, given[chosen], ["label"] + [f"probabilities[{i}]" for i in range(3)],
                             [answers[i] for i in chosen]))


if __name__ == "__main__":
    main()
