"""Files that cost whoever loads or runs them its stack, its memory or for ever."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto
from onnx import TensorProto as T
from onnx import helper

from build import constant, info, model, node


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field as protobuf writes it (its own writer refuses to go as deep as we want to)."""
    size, length = len(body), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + body


def nested_if(depth: int) -> bytes:
    """Each If's then-branch holds the next; the outermost makes Y. Three messages a level."""
    def graph(made: bytes, output: str) -> bytes:
        return field(1, made) + field(2, b"g") + field(12, info(output, T.FLOAT, None).SerializeToString())

    def branch(name: bytes, body: bytes) -> bytes:
        return field(5, field(1, name) + field(6, body) + b"\xa0\x01\x05")     # AttributeProto of type GRAPH

    other = branch(b"else_branch", graph(node("Neg", ["X"], ["n"]).SerializeToString(), "n"))
    inner = node("Identity", ["X"], ["y0"]).SerializeToString()
    for level in range(1, depth + 1):
        then = branch(b"then_branch", graph(inner, f"y{level - 1}"))
        name = b"Y" if level == depth else f"y{level}".encode()
        inner = field(1, b"yes") + field(2, name) + field(4, b"If") + then + other
    plain = model([], weights=[constant("yes", np.array(True))])
    return plain.SerializeToString() + field(7, field(1, inner))                 # ModelProto.graph { node }: merged


def nested_types(depth: int) -> bytes:
    """A declared type of `depth` sequences in each other."""
    kind = field(1, b"\x08\x01")                       # TypeProto.tensor_type { elem_type: FLOAT }
    for _ in range(depth):
        kind = field(4, field(1, kind))                # TypeProto.sequence_type { elem_type }
    value = field(1, b"S") + field(2, kind)            # ValueInfoProto { name, type }
    plain = model([node("Identity", ["X"], ["Y"])]).SerializeToString()
    return plain + field(7, field(13, value))          # ModelProto.graph { value_info }: merged into the graph


def functions(count: int, calls: int) -> ModelProto:
    """`count` model-local functions, each calling the next `calls` times; expanded, calls ** count nodes."""
    made = model([node("f0", ["X"], ["Y"], domain="local")], domains={"local": 1})
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("local", 1)]
    for i in range(count):
        last = i == count - 1
        steps = [node("Neg", ["a"], ["b"])] if last else [
            node(f"f{i + 1}", ["a" if c == 0 else f"t{c}"], ["b" if c == calls - 1 else f"t{c + 1}"], domain="local")
            for c in range(calls)]
        made.functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], steps, opsets))
    return made


def recursive_function() -> ModelProto:
    made = model([node("f", ["X"], ["Y"], domain="local")], domains={"local": 1})
    made.functions.append(helper.make_function("local", "f", ["a"], ["b"], [node("f", ["a"], ["b"], domain="local")],
                                               [helper.make_opsetid("", 15), helper.make_opsetid("local", 1)]))
    return made


def folded_allocation(count: int, exponent: int) -> ModelProto:
    """`count` constants of 2^exponent floats, each read at a place that depends on X: folded while loading, and kept."""
    nodes = [node("Cast", ["X"], ["n"], to=T.INT64), node("Sub", ["n", "n"], ["place"])]
    for i in range(count):
        fill = helper.make_tensor("v", T.FLOAT, [1], [1.0 + i])
        nodes += [node("ConstantOfShape", ["shape"], [f"big{i}"], value=fill), node("Gather", [f"big{i}", "place"], [f"y{i}"])]
    nodes.append(node("Sum", [f"y{i}" for i in range(count)], ["Y"]))
    return model(nodes, weights=[constant("shape", np.array([2**exponent]))])


def folded_products(side: int, count: int) -> ModelProto:
    """A chain of products of side x side matrices, all constant: folding them takes count * side^3 steps."""
    fill = helper.make_tensor("v", T.FLOAT, [1], [1.0 / side])
    nodes = [node("ConstantOfShape", ["shape"], ["m0"], value=fill)]
    nodes += [node("MatMul", [f"m{i}", f"m{i}"], [f"m{i + 1}"]) for i in range(count)]
    nodes += [node("ReduceMean", [f"m{count}"], ["m"], keepdims=0), node("Add", ["X", "m"], ["Y"])]
    return model(nodes, weights=[constant("shape", np.array([side, side]))])


def run_allocation() -> ModelProto:
    """N x 2^36 floats, from the shape of the input: nothing shows before the first row."""
    return model([node("Shape", ["X"], ["n2"]), node("Mul", ["n2", "factor"], ["shape"]),
                  node("ConstantOfShape", ["shape"], ["big"], value=helper.make_tensor("v", T.FLOAT, [1], [1.0])),
                  node("ReduceMean", ["big"], ["m"], keepdims=0), node("Add", ["X", "m"], ["Y"])],
                 weights=[constant("factor", np.array([1, 2**35]))])


def value_allocation() -> ModelProto:
    """As many floats as the first feature says: small rows score, a large one takes the memory."""
    return model([node("Cast", ["X"], ["n"], to=T.INT64), node("ReduceMax", ["n"], ["most"], keepdims=0),
                  node("Abs", ["most"], ["size"]), node("Unsqueeze", ["size", "zero"], ["shape"]),
                  node("ConstantOfShape", ["shape"], ["big"], value=helper.make_tensor("v", T.FLOAT, [1], [0.0])),
                  node("ReduceSum", ["big"], ["sum"], keepdims=0), node("Add", ["X", "sum"], ["Y"])],
                 weights=[constant("zero", np.array([0]))])


def loop(condition: list) -> ModelProto:
    """A Loop of up to 2^63 - 1 rounds; `condition` are the nodes that make `go_out` from `state`."""
    body = helper.make_graph([node("Add", ["state", "state"], ["twice"]), node("Div", ["twice", "two"], ["next"]), *condition],
                             "body", [info("i", T.INT64, []), info("go", T.BOOL, []), info("state", T.FLOAT, None)],
                             [info("go_out", T.BOOL, []), info("next", T.FLOAT, None)])
    return model([node("Loop", ["rounds", "yes", "X"], ["Y"], body=body)],
                 weights=[constant("rounds", np.array(2**63 - 1)), constant("yes", np.array(True)),
                          constant("two", np.float32(2)), constant("limit", np.float32(1e6))])


def endless_for_some() -> ModelProto:
    """Goes on while the largest value of the batch is above a million: no trial row of ordinary size meets it."""
    return loop([node("ReduceMax", ["state"], ["most"], keepdims=0), node("Greater", ["most", "limit"], ["go_out"])])


def register(case) -> None:
    """Tells make.py of each, with what helenus must do."""
    def add(file, verdict, at, word, what, build):
        case(file, verdict, at, word, what)(build)
    add("deep_nesting.onnx", "rejected", "walk", "deep", "an If in an If, 25 deep: within what protobuf reads", lambda: nested_if(25))
    add("deeper_nesting.onnx", "rejected", "walk", "", "an If in an If, 400 deep: beyond protobuf's own limit of 100 messages", lambda: nested_if(400))
    add("deep_types.onnx", "rejected", "walk", "", "a declared type of 20,000 sequences in each other", lambda: nested_types(20_000))
    add("deep_functions.onnx", "rejected", "walk", "deep", "3,500 model-local functions, each calling the next once", lambda: functions(3500, 1))
    add("functions_doubling.onnx", "rejected", "walk", "function", "40 functions, each calling the next twice: 2^40 nodes", lambda: functions(40, 2))
    add("recursive_function.onnx", "rejected", "walk", "function", "a model-local function that calls itself", recursive_function)
    add("alloc_load.onnx", "rejected", "trial", "memory", "32 constants of 256 MiB, folded while loading and kept", lambda: folded_allocation(32, 26))
    add("slow_load.onnx", "rejected", "load", "time", "a chain of large constant products folded while loading", lambda: folded_products(4096, 400))
    add("alloc_run.onnx", "rejected", "trial", "memory", "N x 2^36 floats at run", run_allocation)
    add("endless_loop.onnx", "rejected", "trial", "time", "a Loop of 2^63 - 1 rounds",
        lambda: loop([node("Identity", ["go"], ["go_out"])]))
    add("alloc_value.onnx", "accepted", "run", "", "as many floats as the largest feature says: ordinary rows score, 1e12 takes all memory", value_allocation)
    add("endless_value.onnx", "accepted", "run", "", "an endless Loop only for a batch with a value above 1e6: the scoring watchdog's case", endless_for_some)
