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
# Two features in one wide input without names, y = a + 10 b: trained on (a, b), and on (b, a).
for name, weights in [("tens", [1.0, 10.0]), ("tens_swapped", [10.0, 1.0])]:
    save(
        name,
        [helper.make_node("MatMul", ["X", "weights"], ["y"])],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [column("y")],
        [constant("weights", TensorProto.FLOAT, [2, 1], weights)],
    )


# `rating` of the text `sentence`: 1 for "good", 0 for "bad", -1 for any other, however long it is.
rating = helper.make_node(
    "LabelEncoder", ["sentence"], ["rating"], domain="ai.onnx.ml",
    keys_strings=["good", "bad"], values_int64s=[1, 0], default_int64=-1,
)
graph = helper.make_graph(
    [rating],
    "rating",
    [helper.make_tensor_value_info("sentence", TensorProto.STRING, [None, 1])],
    [helper.make_tensor_value_info("rating", TensorProto.INT64, [None, 1])],
)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
onnx.checker.check_model(model)
(HERE / "rating.onnx").write_bytes(model.SerializeToString())
# y = x, by way of a loop without end where an x of the batch is above a million.
save(
    "hanging",
    [
        helper.make_node("ReduceMax", ["x"], ["first"], keepdims=0),
        helper.make_node("Greater", ["first", "limit"], ["go"]),
        helper.make_node(
            "Loop",
            ["", "go", "x"],
            ["y"],
            body=helper.make_graph(
                [
                    helper.make_node("Identity", ["state"], ["next"]),
                    helper.make_node("Identity", ["on"], ["go_on"]),
                ],
                "body",
                [
                    helper.make_tensor_value_info("round", TensorProto.INT64, []),
                    helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                    helper.make_tensor_value_info("state", TensorProto.FLOAT, [None, 1]),
                ],
                [
                    helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                    helper.make_tensor_value_info("next", TensorProto.FLOAT, [None, 1]),
                ],
            ),
        ),
    ],
    [column("x")],
    [column("y")],
    [constant("limit", TensorProto.FLOAT, [], [1e6])],
)
# y is the root of -1 - |x|: NaN for every row.
save(
    "always_nan",
    [
        helper.make_node("Abs", ["x"], ["size"]),
        helper.make_node("Add", ["size", "one"], ["more"]),
        helper.make_node("Neg", ["more"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["y"]),
    ],
    [column("x")],
    [column("y")],
    [constant("one", TensorProto.FLOAT, [], [1.0])],
)
# Names that a terminal would obey: a title, a line of their own, text from right to left.
escapes = "\x1b]0;owned\x07"
save(
    "escapes",
    [helper.make_node("Identity", [f"x{escapes}"], ["y\n\u202eaccepted"])],
    [column(f"x{escapes}")],
    [column("y\n\u202eaccepted")],
)


# Pictures and words: `probabilities` of red, green and blue, and `embedding`, from a picture's mean colour and its words' vectors.
# `cards_photo` takes [N, 3, 8, 8], `cards_thumbnail` [N, 4, 4, 3] with the channels reversed: what each must be prepared for differs.
def cards(name, picture, shape, axes, order):
    words = [0.0, 0.0, 0.0] + [0.1, 0.1, 0.1] + [2.0, 0.0, 0.0] + [0.0, 2.0, 0.0] + [0.0, 0.0, 2.0]
    tokens = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
    save(
        name,
        [
            helper.make_node("ReduceMean", [picture], ["means"], axes=axes, keepdims=0),
            helper.make_node("Gather", ["means", "order"], ["colours"], axis=1),
            helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
            helper.make_node("Mul", ["vectors", "column"], ["present"]),
            helper.make_node("ReduceMean", ["present"], ["said"], axes=[1], keepdims=0),
            helper.make_node("Mul", ["colours", "four"], ["seen"]),
            helper.make_node("Add", ["seen", "said"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
            helper.make_node("Concat", ["colours", "said"], ["embedding"], axis=1),
        ],
        [helper.make_tensor_value_info(picture, TensorProto.FLOAT, ["rows", *shape]), tokens("input_ids"), tokens("attention_mask")],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", 6]),
        ],
        [
            constant("words", TensorProto.FLOAT, [5, 3], words),
            constant("order", TensorProto.INT64, [3], order),
            constant("four", TensorProto.FLOAT, [], [4.0]),
            constant("last", TensorProto.INT64, [1], [2]),
        ],
    )


cards("cards_photo", "photo", [3, 8, 8], [2, 3], [0, 1, 2])
cards("cards_thumbnail", "thumbnail", [4, 4, 3], [1, 2], [2, 1, 0])
