"""Neural networks: iris through skl2onnx (dynamic batch), and the same weights written as deep-learning exporters do
(batch fixed to 1, one output, no label); a single sigmoid on breast cancer."""

from __future__ import annotations

import common  # first: sets the thread counts

import json
from decimal import Decimal

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common import OPSET, SEED, Feature, Table, float32, golden_of, pick, publish
from datasets import biopsies, biopsies_rows, biopsies_table, column_of, iris


def dense(network: MLPClassifier, scaler: StandardScaler, batch, last: str, output: str):
    """Scaler and layers as Gemm nodes, hidden ones with Relu, `last` at the end."""
    weights = [numpy_helper.from_array(scaler.mean_.astype(np.float32), "mean"),
               numpy_helper.from_array(scaler.scale_.astype(np.float32), "scale")]
    nodes = [helper.make_node("Sub", ["X", "mean"], ["centred"]), helper.make_node("Div", ["centred", "scale"], ["h0"])]
    for i, (w, b) in enumerate(zip(network.coefs_, network.intercepts_)):
        weights += [numpy_helper.from_array(w.astype(np.float32), f"w{i}"),
                    numpy_helper.from_array(b.astype(np.float32), f"b{i}")]
        nodes.append(helper.make_node("Gemm", [f"h{i}", f"w{i}", f"b{i}"], [f"z{i}"]))
        final = i == len(network.coefs_) - 1
        nodes.append(helper.make_node(last if final else "Relu", [f"z{i}"], [output if final else f"h{i + 1}"]))
    graph = helper.make_graph(
        nodes, "model", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, len(scaler.mean_)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, network.coefs_[-1].shape[1]])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])


def flowers() -> None:
    names, exact, species = iris()
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=800, random_state=SEED))
    pipeline.fit(exact[::2], species[::2])
    model = to_onnx(pipeline, initial_types=[("X", FloatTensorType([None, 4]))], target_opset=OPSET)
    p = pipeline.predict_proba(exact)
    answers = [[str(l), *map(float, row)] for l, row in zip(pipeline.predict(exact), p)]
    types = dict(zip(names, ["decimal", "decimal", "decimal", "float"]))
    rows = []
    for i, values in enumerate(exact):
        cells = {column_of(n): Decimal(str(v)) if types[n] == "decimal" else np.float32(v) for n, v in zip(names, values)}
        rows.append({"id": i + 1} | cells)
    # A stored NaN is a value: it goes to the model, and the NaN that comes back rejects the row.
    for i in (7, 77):
        rows[i]["petal_width"] = np.float32("nan")
    rows[90]["sepal_length"] = None
    table = Table("measured_flowers", {"id": "int", **{column_of(n): types[n] for n in names}})
    chosen, classes = pick(len(exact)), [str(c) for c in pipeline.classes_]
    publish("iris_mlp", model, table, rows,
            features=[Feature(n, column_of(n), {"cast": "float"} if types[n] == "decimal" else {}) for n in names],
            metadata={"helenus.features": json.dumps(names)}, expected=["label"] + [f"p_{c}" for c in classes],
            predictions=[None if i in (7, 77, 90) else a for i, a in enumerate(answers)],
            golden=golden_of(names, float32(exact[chosen]), ["output_label"] + [f"output_probability[{i}]" for i in range(3)],
                             [answers[i] for i in chosen]))

    lists = [{"id": i + 1, "measures": [np.float32(v) for v in values]} for i, values in enumerate(exact)]
    lists[3]["measures"], lists[50]["measures"] = lists[3]["measures"][:3], None
    lists[51]["measures"] = lists[51]["measures"] + [np.float32(1)]
    publish("iris_mlp_batch1", dense(pipeline[-1], pipeline[0], 1, "Softmax", "probabilities"),
            Table("listed_flowers", {"id": "int", "measures": "frozen<list<float>>"}), lists,
            features=[Feature("measures", "measures", {"width": 4})], wide={"X": ["measures"]},
            metadata={"helenus.classes": json.dumps(classes)}, expected=[f"p_{c}" for c in classes],
            predictions=[None if i in (3, 50, 51) else a[1:] for i, a in enumerate(answers)],
            golden=golden_of([f"X[{i}]" for i in range(4)], float32(exact[chosen]),
                             [f"probabilities[{i}]" for i in range(3)], [answers[i][1:] for i in chosen]))


def sigmoid() -> None:
    """One number a row, [N, 1], without any class in the file: a column named by the job."""
    names, exact, diagnosis = biopsies()
    scaler = StandardScaler().fit(exact[:300])
    network = MLPClassifier((12,), max_iter=1500, alpha=0.1, random_state=SEED)
    network.fit(scaler.transform(exact[:300]), (diagnosis == "malignant")[:300])
    p = network.predict_proba(scaler.transform(exact))[:, 1]
    chosen = pick(len(exact))
    publish("breast_cancer_sigmoid", dense(network, scaler, "N", "Sigmoid", "dense_1"), biopsies_table("keras_biopsies"),
            biopsies_rows(exact), feature_names=names, columns={"malignancy": {"output": "dense_1"}},
            expected=["malignancy"], predictions=[[float(v)] for v in p],
            golden=golden_of(names, exact[chosen], ["dense_1"], [[float(p[i])] for i in chosen]))


if __name__ == "__main__":
    flowers()
    sigmoid()
