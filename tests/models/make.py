"""Makes the models that only tests use; needs the packages of models/requirements.txt."""

import pathlib

import onnx
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent


def save(name, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
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


def constant(name, kind, shape, values):
    return helper.make_tensor(name, kind, shape, values)


# y = x, and the quotient -2^63 / -1 where x = 777, which no int64 holds: the processor ends the process.
save(
    "crashing",
    [
        helper.make_node("Sub", ["x", "limit"], ["far"]),
        helper.make_node("Cast", ["far"], ["steps"], to=TensorProto.INT64),
        helper.make_node("Div", ["least", "steps"], ["part"]),
        helper.make_node("Clip", ["part", "nothing", "nothing"], ["none"]),
        helper.make_node("Cast", ["none"], ["zero"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ],
    [column("x")],
    [column("y")],
    [
        constant("limit", TensorProto.FLOAT, [], [778.0]),
        constant("least", TensorProto.INT64, [], [-(2**63)]),
        constant("nothing", TensorProto.INT64, [], [0]),
    ],
)
# y = x, by way of as many zeros as the largest |x| of the batch says: a large one takes all memory.
save(
    "hungry",
    [
        helper.make_node("Cast", ["x"], ["n"], to=TensorProto.INT64),
        helper.make_node("Abs", ["n"], ["sizes"]),
        helper.make_node("ReduceMax", ["sizes"], ["size"], axes=[0], keepdims=0),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"], value=constant("v", TensorProto.FLOAT, [1], [0.0])),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ],
    [column("x")],
    [column("y")],
)
