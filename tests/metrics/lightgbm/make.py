"""Makes three LightGBM versions, 4,000 labelled rows, and what scikit-learn says of the versions on them.

Needs models/requirements.txt; deterministic but for names that the exporter gives within the files. The reference is of the float32 probabilities that the exported models
give in ONNX Runtime: these are what helenus stores.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "models"))

import common  # noqa: F401, E402  first: sets the thread counts

import lightgbm  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: E402

import gbm  # noqa: E402

ROWS, WIDTH, GOLDEN = 4_000, 5, 20
NAMES = [f"x{i}" for i in range(WIDTH)]
VERSIONS = [dict(n_estimators=40, num_leaves=15), dict(n_estimators=12, num_leaves=7), dict(n_estimators=2, num_leaves=4)]

rng = np.random.default_rng(20261128)


def made(rows):
    """Features of two decimals, so that every reader of CSV reads the same floats, and what they tell of the outcome."""
    x = np.round(rng.normal(size=(rows, WIDTH)), 2).astype(np.float32)
    logit = -1.2 + x[:, 0] - 0.7 * x[:, 1] + 0.8 * x[:, 2] * x[:, 3]
    return x, (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)


x, y = made(3_000)
unseen, truth = made(ROWS)
reference = []
for number, settings in enumerate(VERSIONS, start=1):
    model = lightgbm.LGBMClassifier(**settings, **gbm.SETTINGS).fit(x, y)
    graph = gbm.export(model, WIDTH, zipmap=False)
    graph.graph.name = "trees"
    exported = graph.SerializeToString()
    (HERE / f"{number}.onnx").write_bytes(exported)
    p = onnxruntime.InferenceSession(exported).run(None, {"X": unseen})[1][:, 1]
    assert np.abs(p - model.predict_proba(unseen)[:, 1]).max() < 1e-6
    labels = model.predict(unseen[:GOLDEN])
    golden = [[*row, label, 1 - p[at], p[at]] for at, (row, label) in enumerate(zip(unseen, labels))]
    header = [*(f"in.{name}" for name in NAMES), "out.label", "out.probabilities[0]", "out.probabilities[1]"]
    (HERE / f"{number}.golden.csv").write_text("\n".join(",".join(map(str, row)) for row in [header, *golden]) + "\n")
    reference.append(
        {
            "roc_auc": roc_auc_score(truth, p),
            "average_precision": average_precision_score(truth, p),
            "distinct_scores": len(np.unique(p)),
        }
    )
(HERE / "reference.json").write_text(json.dumps(reference, indent=1) + "\n")
lines = [[*row, label] for row, label in zip(unseen, truth)]
(HERE / "rows.csv").write_text("\n".join(",".join(map(str, row)) for row in [[*NAMES, "y"], *lines]) + "\n")
(HERE / "features.txt").write_text("\n".join(NAMES) + "\n")
print(reference)
