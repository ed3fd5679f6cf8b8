"""Two numbers a row: as one output [N, 2], and as two outputs of doubles fed by one input a column."""

from __future__ import annotations

import common  # first: sets the thread counts

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common import OPSET, Feature, Table, float32, golden_of, pick, publish
from datasets import diabetes


def split():
    """Features age to s5; targets are the progression and s6, the glucose level."""
    names, values, progression = diabetes()
    return names[:9], values[:, :9], np.column_stack([progression, values[:, 9]])


def together() -> None:
    names, exact, targets = split()
    pair = make_pipeline(StandardScaler(), MultiOutputRegressor(Ridge())).fit(exact[:300], targets[:300])
    model = to_onnx(pair, initial_types=[("X", FloatTensorType([None, 9]))], target_opset=OPSET)
    p = pair.predict(exact)
    rows = [{"id": i + 1} | {n: float(v) for n, v in zip(names, values)} for i, values in enumerate(exact)]
    chosen = pick(len(exact))
    publish("diabetes_two", model, Table("two_targets", {"id": "int", **{n: "double" for n in names}}), rows,
            feature_names=names, expected=["variable"], predictions=[[list(map(float, v))] for v in p],
            golden=golden_of(names, float32(exact[chosen]), ["variable[0]", "variable[1]"],
                             [list(map(float, p[i])) for i in chosen]))


def apart() -> None:
    """Inputs are [N], not [N, 1]; everything is double, so the difference is that of the last bits."""
    names, exact, targets = split()
    scaler = StandardScaler().fit(exact[:300])
    ridge = Ridge().fit(scaler.transform(exact[:300]), targets[:300])
    nodes = [helper.make_node("Unsqueeze", [n, "one"], [f"{n}_column"]) for n in names]
    nodes += [helper.make_node("Concat", [f"{n}_column" for n in names], ["all"], axis=1),
              helper.make_node("Sub", ["all", "mean"], ["centred"]), helper.make_node("Div", ["centred", "scale"], ["scaled"]),
              helper.make_node("Gemm", ["scaled", "weights", "intercept"], ["both"]),
              helper.make_node("Split", ["both"], ["first", "second"], axis=1),
              helper.make_node("Squeeze", ["first", "one"], ["progression"]), helper.make_node("Identity", ["second"], ["glucose"])]
    weights = {"mean": scaler.mean_, "scale": scaler.scale_, "weights": np.ascontiguousarray(ridge.coef_.T),
               "intercept": ridge.intercept_, "one": np.array([1], dtype=np.int64)}
    graph = helper.make_graph(
        nodes, "model", [helper.make_tensor_value_info(n, TensorProto.DOUBLE, ["N"]) for n in names],
        [helper.make_tensor_value_info("progression", TensorProto.DOUBLE, ["N"]),
         helper.make_tensor_value_info("glucose", TensorProto.DOUBLE, ["N", 1])],
        [numpy_helper.from_array(w, n) for n, w in weights.items()])
    p = ridge.predict(scaler.transform(exact))
    kinds = {"age": "bigint", "sex": "smallint", "s1": "int"}
    rows = [{"id": i + 1} | {n: int(v) if n in kinds else float(v) for n, v in zip(names, values)}
            for i, values in enumerate(exact)]
    chosen = pick(len(exact))
    publish("diabetes_heads", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)]),
            Table("headed_visits", {"id": "int", **{n: kinds.get(n, "double") for n in names}}), rows,
            features=[Feature(n, n) for n in names], expected=["progression", "glucose"],
            predictions=[list(map(float, v)) for v in p],
            golden=([f"in.{n}" for n in names] + ["out.progression", "out.glucose"],
                    [[float(v) for v in exact[i]] + list(map(float, p[i])) for i in chosen]),
            tolerance=(1e-12, 1e-12, "Doubles from end to end: nothing on the way may pass through a float."))


if __name__ == "__main__":
    together()
    apart()
