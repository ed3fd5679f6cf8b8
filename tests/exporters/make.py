"""Exports that are silently wrong, each beside the one that is right.

Needs what models/requirements.txt lists; a second run gives the same predictions. For each export a
file `<name>.onnx`, and `<name>.csv`: 100 golden rows that the model has not seen, with the training
library's own predictions.
"""

import csv
import pathlib

import numpy as np
import onnx
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBClassifier

HERE = pathlib.Path(__file__).parent
NAMES = ["region", "income"]

update_registered_converter(
    XGBClassifier,
    "XGBoostXGBClassifier",
    calculate_linear_classifier_output_shapes,
    convert_xgboost,
    options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
)


def data(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A category, 0 to 5, and a number; two categories turn what the number means."""
    random = np.random.default_rng(seed)
    region = random.integers(0, 6, rows)
    income = random.normal(size=rows)
    values = np.c_[region, income].astype(np.float32)
    return values, (np.isin(region, [1, 4]) ^ (values[:, 1] > 0.3)).astype(int)


def export(name: str, model: object) -> None:
    last = model[-1] if hasattr(model, "steps") else model
    file = to_onnx(
        model,
        initial_types=[("X", FloatTensorType([None, 2]))],
        options={id(last): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    onnx.save(file, HERE / f"{name}.onnx")
    unseen, _ = data(2, 100)
    with open(HERE / f"{name}.csv", "w", newline="") as golden:
        write = csv.writer(golden, lineterminator="\n").writerow
        outputs = [output.name for output in file.graph.output]
        header = [f"out.{outputs[0]}", *(f"out.{outputs[1]}[{k}]" for k in range(2))]
        write([*(f"in.{feature}" for feature in NAMES), *header])
        for row, label, scores in zip(unseen, model.predict(unseen), model.predict_proba(unseen)):
            write([*map(float, row), label, *map(float, scores)])


def export_targets(name: str, model: MultiOutputClassifier) -> None:
    """Labels of several targets, and a sequence with a tensor of probabilities for each."""
    file = to_onnx(model, initial_types=[("X", FloatTensorType([None, 2]))], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    onnx.save(file, HERE / f"{name}.onnx")
    tensors = next(list(node.input) for node in file.graph.node if node.op_type == "SequenceConstruct")
    unseen, _ = data(2, 100)
    with open(HERE / f"{name}.csv", "w", newline="") as golden:
        write = csv.writer(golden, lineterminator="\n").writerow
        header = [f"out.label[{k}]" for k in range(len(tensors))]
        header += [f"out.{tensor}[{k}]" for tensor in tensors for k in range(2)]
        write([*(f"in.{feature}" for feature in NAMES), *header])
        scores = np.concatenate(model.predict_proba(unseen), axis=1)
        for row, labels, row_scores in zip(unseen, model.predict(unseen), scores):
            write([*map(float, row), *labels, *map(float, row_scores)])


def one_hot(sparse: bool) -> ColumnTransformer:
    return ColumnTransformer(
        [("region", OneHotEncoder(sparse_output=sparse), [0]), ("rest", "passthrough", [1])],
        sparse_threshold=1.0 if sparse else 0.0,
    )


values, truth = data(1, 400)
trees = {"max_iter": 20, "max_leaf_nodes": 6, "min_samples_leaf": 5, "random_state": 0}
boosted = {"n_estimators": 10, "max_depth": 3, "tree_method": "hist", "random_state": 0}
export("hist_categories", HistGradientBoostingClassifier(categorical_features=[0], **trees).fit(values, truth))
export("hist_one_hot", make_pipeline(one_hot(False), HistGradientBoostingClassifier(**trees)).fit(values, truth))
export("xgboost_sparse", make_pipeline(one_hot(True), XGBClassifier(**boosted)).fit(values, truth))
export("xgboost_dense", make_pipeline(one_hot(False), XGBClassifier(**boosted)).fit(values, truth))
targets = np.c_[truth, values[:, 1] > 0]
forest = RandomForestClassifier(5, max_depth=3, random_state=0)
export_targets("forest_targets", MultiOutputClassifier(forest).fit(values, targets))
(HERE / "features.txt").write_text("\n".join(NAMES) + "\n")
