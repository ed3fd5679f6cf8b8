"""Writes the hostile, broken and odd ONNX files of this folder, and cases.csv: what helenus must make of each.

    ../../.dev/train-venv/bin/python make.py      (the environment of models/requirements.txt)

Nothing here loads what it writes: some of these crash, hang or eat the memory of whoever does. See probe.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "models"))

import numpy as np  # noqa: E402
from onnx import TensorProto as T, helper  # noqa: E402

import bombs  # noqa: E402
from build import FLOAT_IN, constant, external, info, model, node, write  # noqa: E402

CASES: list[tuple] = []


def case(file: str, verdict: str, at: str, word: str, what: str):
    """Registers a builder: `verdict` accepted or rejected; `at` walk (the bytes alone), load, trial (rows run), job or
    run; `word` is in the reason or warning, or empty."""
    def register(build):
        CASES.append((file, verdict, at, word, what, build))
        return build
    return register


# Not a model at all

@case("empty.onnx", "rejected", "walk", "empty", "no bytes")
def _():
    return b""


@case("truncated.onnx", "rejected", "walk", "", "the first half of a good model")
def _():
    whole = (HERE.parents[1] / "models/breast_cancer_lr/model.onnx").read_bytes()
    return whole[:len(whole) // 2]


@case("random.bin", "rejected", "walk", "", "4 KiB of noise")
def _():
    return np.random.default_rng(1).bytes(4096)


@case("pickle.onnx", "rejected", "walk", "", "a Python pickle (of a list of numbers) under another name")
def _():
    import pickle
    return pickle.dumps(list(range(300)), protocol=4)


@case("no_graph.onnx", "rejected", "walk", "graph", "valid protobuf: IR version and opset, nothing else")
def _():
    made = model([node("Identity", ["X"], ["Y"])])
    made.ClearField("graph")
    return made


# Reads files of the machine that loads it

@case("external_data.onnx", "rejected", "walk", "external", "an initializer kept in weights.bin")
def _():
    return model([node("Add", ["X", "w"], ["Y"])], weights=[external("w", "weights.bin")])


@case("external_data_traversal.onnx", "rejected", "walk", "external", "an initializer kept in ../../../../../../etc/passwd")
def _():
    return model([node("Add", ["X", "w"], ["Y"])], weights=[external("w", "../../../../../../etc/passwd")])


@case("external_data_subgraph.onnx", "rejected", "walk", "external", "the same, in the branch of an If inside a Loop's body")
def _():
    def branch(name):
        return helper.make_graph([node("Identity", ["w"], [f"{name}_y"])], name, [], [info(f"{name}_y", T.FLOAT, [2])],
                                 [external("w", "weights.bin")])
    inner = node("If", ["keep"], ["chosen"], then_branch=branch("then"), else_branch=branch("else"))
    body = helper.make_graph([inner, node("Identity", ["keep"], ["keep_out"])], "body",
                             [info("i", T.INT64, []), info("keep", T.BOOL, [])],
                             [info("keep_out", T.BOOL, []), info("chosen", T.FLOAT, [2])])
    return model([node("Loop", ["once", ""], ["rounds"], body=body), node("Squeeze", ["rounds", "zero"], ["one"]),
                  node("Add", ["X", "one"], ["Y"])], weights=[constant("once", np.array(1)), constant("zero", np.array([0]))])


@case("external_data_function.onnx", "rejected", "walk", "external", "a Constant's attribute inside a model-local function")
def _():
    inside = [node("Constant", [], ["w"], value=external("w", "weights.bin")), node("Add", ["a", "w"], ["b"])]
    made = model([node("shift", ["X"], ["Y"], domain="local")], domains={"local": 1})
    made.functions.append(helper.make_function("local", "shift", ["a"], ["b"], inside, [helper.make_opsetid("", 15)]))
    return made


@case("external_data_constant.onnx", "rejected", "walk", "external", "a Constant's attribute in the main graph")
def _():
    return model([node("Constant", [], ["w"], value=external("w", "weights.bin")), node("Add", ["X", "w"], ["Y"])])


@case("external_data_sparse.onnx", "rejected", "walk", "external", "the values of a sparse initializer")
def _():
    made = model([node("Add", ["X", "w"], ["Y"])])
    sparse = made.graph.sparse_initializer.add(dims=[2])
    sparse.values.CopyFrom(external("w", "weights.bin"))
    sparse.indices.CopyFrom(constant("places", np.array([0, 1])))
    return made


@case("external_data_training.onnx", "rejected", "walk", "external", "an initializer of the training graph, which scoring never reads")
def _():
    made = model([node("Identity", ["X"], ["Y"])])
    made.training_info.add().initialization.CopyFrom(helper.make_graph(
        [node("Identity", ["w"], ["v"])], "first", [], [info("v", T.FLOAT, [2])], [external("w", "weights.bin")]))
    return made


# Asks for what is not there

@case("unknown_domain.onnx", "rejected", "walk", "evil.ops", "an operator of a domain nobody knows")
def _():
    return model([node("Backdoor", ["X"], ["Y"], domain="evil.ops")], domains={"evil.ops": 1})


@case("unknown_operator.onnx", "rejected", "load", "Backdoor", "an unknown operator of ONNX's own domain")
def _():
    return model([node("Backdoor", ["X"], ["Y"])])


@case("future_opset.onnx", "rejected", "walk", "target_opset", "opset 99 of the default domain")
def _():
    return model([node("Identity", ["X"], ["Y"])], opset=99)


@case("future_ml_opset.onnx", "rejected", "walk", "target_opset", "opset 99 of ai.onnx.ml")
def _():
    return model([node("Identity", ["X"], ["Y"])], domains={"ai.onnx.ml": 99})


@case("future_ir.onnx", "rejected", "walk", "IR", "IR version 99")
def _():
    made = model([node("Identity", ["X"], ["Y"])])
    made.ir_version = 99
    return made


@case("needs_locale.onnx", "accepted", "load", "locale", "skl2onnx's plain TF-IDF export: rejected, naming the locale, where en_US.UTF-8 is not installed")
def _():
    import train_text
    from common import settle
    exported = train_text.export(train_text.fitted())
    for part in exported.graph.node:
        if part.op_type == "StringNormalizer":
            kept = [a for a in part.attribute if a.name != "locale"]
            del part.attribute[:]
            part.attribute.extend(kept)
    return settle(exported)


# Graphs that are no graphs

@case("cycle.onnx", "rejected", "load", "", "two nodes that wait for each other")
def _():
    return model([node("Add", ["X", "b"], ["a"]), node("Neg", ["a"], ["b"]), node("Identity", ["b"], ["Y"])])


@case("missing_tensor.onnx", "rejected", "load", "", "a node reads a tensor that nothing makes")
def _():
    return model([node("Add", ["X", "nowhere"], ["Y"])])


@case("type_mismatch.onnx", "rejected", "load", "", "a float added to a string")
def _():
    return model([node("Add", ["X", "S"], ["Y"])], inputs=[FLOAT_IN, info("S", T.STRING, ["N", 1])])


@case("no_outputs.onnx", "rejected", "walk", "output", "a graph without outputs")
def _():
    return model([node("Identity", ["X"], ["Y"])], outputs=[])


@case("no_inputs.onnx", "rejected", "walk", "input", "a graph without inputs: a constant")
def _():
    return model([node("Identity", ["w"], ["Y"])], inputs=[], outputs=[info("Y", T.FLOAT, [2])],
                 weights=[constant("w", np.float32([1, 2]))])


# Types and shapes that helenus does not feed

def _typed(kind):
    return model([node("Cast", ["X"], ["Y"], to=T.FLOAT)], inputs=[info("X", kind, ["N", 2])])


for _name, _kind in (("bfloat16", T.BFLOAT16), ("int8", T.INT8), ("uint8", T.UINT8)):
    case(f"{_name}_input.onnx", "rejected", "walk", _name, f"an input of {_name}")(lambda kind=_kind: _typed(kind))


@case("bfloat16_output.onnx", "rejected", "walk", "bfloat16", "an output of bfloat16")
def _():
    return model([node("Cast", ["X"], ["Y"], to=T.BFLOAT16)], outputs=[info("Y", T.BFLOAT16, ["N", 2])])


@case("complex_input.onnx", "rejected", "walk", "complex", "an input of complex64 beside one of float")
def _():
    return model([node("Identity", ["X"], ["Y"])], inputs=[FLOAT_IN, info("Z", T.COMPLEX64, ["N", 2])])


@case("sequence_output.onnx", "rejected", "walk", "sequence", "a sequence that is neither ZipMap's nor constructed of tensors")
def _():
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(T.FLOAT, ["N", 2]))
    return model([node("SplitToSequence", ["X"], ["Y"])], outputs=[helper.make_value_info("Y", kind)])


@case("sequence_input.onnx", "rejected", "walk", "sequence", "an input that is a sequence of tensors")
def _():
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(T.FLOAT, ["N", 2]))
    return model([node("ConcatFromSequence", ["X"], ["Y"], axis=1)], inputs=[helper.make_value_info("X", kind)])


@case("map_input.onnx", "rejected", "walk", "map", "an input that is a map (DictVectorizer)")
def _():
    kind = helper.make_map_type_proto(T.STRING, helper.make_tensor_type_proto(T.FLOAT, []))
    return model([node("DictVectorizer", ["X"], ["Y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])],
                 inputs=[helper.make_value_info("X", kind)], domains={"ai.onnx.ml": 3})


@case("optional_input.onnx", "rejected", "walk", "optional", "an input that may be absent")
def _():
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(T.FLOAT, ["N", 2]))
    return model([node("OptionalGetElement", ["X"], ["Y"])], inputs=[helper.make_value_info("X", kind)])


@case("scalar_input.onnx", "rejected", "walk", "batch", "an input without dimensions beside the wide one: there is no batch to fill")
def _():
    return model([node("Add", ["X", "s"], ["Y"])], inputs=[FLOAT_IN, info("s", T.FLOAT, [])])


@case("open_width.onnx", "rejected", "walk", "width", "an input [N, M]: nobody can say how many features it takes")
def _():
    return model([node("Identity", ["X"], ["Y"])], inputs=[info("X", T.FLOAT, ["N", "M"])], outputs=[info("Y", T.FLOAT, ["N", "M"])])


@case("huge_shape.onnx", "rejected", "walk", "width", "an input [N, 2^40]: one row is four tebibytes")
def _():
    return model([node("ReduceSum", ["X", "axis"], ["Y"])], inputs=[info("X", T.FLOAT, ["N", 2**40])],
                 outputs=[info("Y", T.FLOAT, ["N", 1])], weights=[constant("axis", np.array([1]))])


@case("huge_product.onnx", "rejected", "walk", "width", "an input [N, 2^32, 2^32]: the width overflows 64 bits")
def _():
    return model([node("Flatten", ["X"], ["Y"])], inputs=[info("X", T.FLOAT, ["N", 2**32, 2**32])])


@case("initializer_overflow.onnx", "rejected", "load", "", "an initializer that says [2^32, 2^32] over 8 bytes of data")
def _():
    return model([node("Add", ["X", "w"], ["Y"])], weights=[T(name="w", data_type=T.FLOAT, dims=[2**32, 2**32], raw_data=bytes(8))])


@case("initializer_negative.onnx", "rejected", "load", "", "an initializer of -2 values")
def _():
    return model([node("Add", ["X", "w"], ["Y"])], weights=[T(name="w", data_type=T.FLOAT, dims=[-2], raw_data=bytes(8))])


# Loads, and answers for the wrong row

@case("not_aligned_fewer.onnx", "rejected", "trial", "rows", "one output row for the whole batch (mean over axis 0)")
def _():
    return model([node("ReduceMean", ["X"], ["Y"], axes=[0], keepdims=1)])


@case("not_aligned_more.onnx", "rejected", "trial", "rows", "N + 1 output rows")
def _():
    return model([node("Slice", ["X", "zero", "one", "zero"], ["first"]), node("Concat", ["X", "first"], ["Y"], axis=0)],
                 weights=[constant("zero", np.array([0])), constant("one", np.array([1]))])


@case("neighbours_softmax.onnx", "rejected", "trial", "neighbour", "softmax over the batch: passes on rows of zeros")
def _():
    return model([node("Softmax", ["X"], ["Y"], axis=0)])


@case("neighbours_mean.onnx", "rejected", "trial", "neighbour", "the batch's mean subtracted: right at batch 1 only for itself")
def _():
    return model([node("ReduceMean", ["X"], ["m"], axes=[0], keepdims=1), node("Sub", ["X", "m"], ["Y"])])


@case("neighbours_running.onnx", "rejected", "trial", "neighbour", "a running sum: the first row of any batch is right")
def _():
    return model([node("CumSum", ["X", "axis"], ["Y"])], weights=[constant("axis", np.array(0))])


@case("nondeterministic.onnx", "rejected", "trial", "", "random noise added: two calls differ")
def _():
    return model([node("RandomNormalLike", ["X"], ["r"]), node("Add", ["X", "r"], ["Y"])])


# Odd but legal

@case("fixed_batch4.onnx", "accepted", "trial", "batch", "batches of exactly four: scored padded, with a warning")
def _():
    return model([node("Neg", ["X"], ["Y"])], inputs=[info("X", T.FLOAT, [4, 2])], outputs=[info("Y", T.FLOAT, [4, 2])])


@case("nan_output.onnx", "accepted", "trial", "", "square root: NaN for negative inputs, which rejects those rows, not the model")
def _():
    return model([node("Sqrt", ["X"], ["Y"])])


@case("svc_swapped.onnx", "accepted", "trial", "label", "a binary SVC as skl2onnx writes it: the label is the class of the *smaller* score, so the score columns bear each other's names")
def _():
    from common import OPSET, settle
    from datasets import biopsies
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    _, x, diagnosis = biopsies()
    fitted = make_pipeline(StandardScaler(), SVC(C=0.1)).fit(x[:200, :2], diagnosis[:200])
    return settle(convert_sklearn(fitted, initial_types=[("X", FloatTensorType([None, 2]))], target_opset=OPSET,
                                  options={"zipmap": False}))


def _zipmap(labels):
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(T.STRING, helper.make_tensor_type_proto(T.FLOAT, [])))
    return model([node("Softmax", ["X"], ["p"], axis=1), node("ZipMap", ["p"], ["Y"], domain="ai.onnx.ml", classlabels_strings=labels)],
                 outputs=[helper.make_value_info("Y", kind)], domains={"ai.onnx.ml": 3})


case("zipmap_mismatch.onnx", "rejected", "trial", "class", "ZipMap names three classes of two columns")(
    lambda: _zipmap(["a", "b", "c"]))
case("class_collision.onnx", "accepted", "job", "p_not_sure", "classes `Not sure` and `not_sure` would be one column: an error of the job")(
    lambda: _zipmap(["Not sure", "not_sure"]))


def main() -> None:
    bombs.register(case)
    with (HERE / "cases.csv").open("w", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["file", "verdict", "at", "word", "what"])
        for file, verdict, at, word, what, build in CASES:
            write(HERE / file, build())
            table.writerow([file, verdict, at, word, what])
    print(f"{len(CASES)} files, {sum((HERE / c[0]).stat().st_size for c in CASES):,} bytes")


if __name__ == "__main__":
    main()
