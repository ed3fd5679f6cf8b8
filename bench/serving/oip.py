"""Requests of the Open Inference Protocol with one row of floats: as JSON, binary, and over gRPC."""

import json
import struct

from serving.load import Requests


def infer_json(model, tensor, rows):
    """`rows`: lists of floats, one a request."""
    one = lambda row: json.dumps({"inputs": [{"name": tensor, "shape": [1, len(row)], "datatype": "FP32", "data": row}]})
    return Requests([f"/v2/models/{model}/infer"] * len(rows), [one(row).encode() for row in rows],
                    {"Content-Type": "application/json"})


def infer_binary(model, tensor, rows):
    """What tritonclient sends by default: values and answers as bytes behind the JSON."""
    width = len(rows[0])
    head = json.dumps({
        "inputs": [{"name": tensor, "shape": [1, width], "datatype": "FP32", "parameters": {"binary_data_size": 4 * width}}],
        "parameters": {"binary_data_output": True},
    }).encode()
    return Requests([f"/v2/models/{model}/infer"] * len(rows), [head + floats(row) for row in rows],
                    {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))})


def infer_grpc(model, tensor, rows):
    """`ModelInfer` with raw contents, as tritonclient sends it: an HTTP/2 request whose body is one message
    behind its length. Written by hand, for it has four fields: no generated code is needed."""
    bodies = []
    for row in rows:
        # InferInputTensor: name, datatype, shape (packed).
        described = field(1, tensor.encode()) + field(2, b"FP32") + field(3, varint(1) + varint(len(row)))
        # ModelInferRequest: model_name, inputs, raw_input_contents.
        message = field(1, model.encode()) + field(5, described) + field(7, floats(row))
        bodies.append(struct.pack(">BI", 0, len(message)) + message)
    return Requests(["/inference.GRPCInferenceService/ModelInfer"] * len(rows), bodies,
                    {"content-type": "application/grpc", "te": "trailers"})


def probability(answer):
    """Of the second class, in an answer in JSON."""
    outputs = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}
    scores = outputs["probabilities"]
    return (scores[0] if isinstance(scores[0], list) else scores)[1]


def floats(row):
    return struct.pack(f"<{len(row)}f", *row)


def field(number, content):
    """A length-delimited field of a protobuf message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])
