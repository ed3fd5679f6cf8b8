"""Makes the models that only tests use; needs the packages of models/requirements.txt."""

import pathlib

import onnx
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs):
    graph = helper.make_graph(nodes, name, inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


column = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1])

# One feature `x`, one output `y` = x: which row a prediction belongs to can be read off it.
save("identity", [helper.make_node("Identity", ["x"], ["y"])], [column("x")], [column("y")])
# A scaler forgotten: the same score for every row.
save(
    "constant",
    [
        helper.make_node("Sub", ["x", "x"], ["zero"]),
        helper.make_node("Sigmoid", ["zero"], ["y"]),
    ],
    [column("x")],
    [column("y")],
)
