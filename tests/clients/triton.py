"""Calls models through tritonclient and holds the answers against their golden rows.

    triton.py HTTP-ADDRESS GRPC-ADDRESS MODEL=FOLDER…

Prints, as JSON, how many rows of each model were compared by each kind of request.
"""
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

from golden import Golden

KINDS = {"bool": "BOOL", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64", "object": "BYTES"}


def given(client, name, array, **options):
    tensor = client.InferInput(name, list(array.shape), KINDS[array.dtype.name])
    tensor.set_data_from_numpy(array, **options)
    return tensor


def binary(http, model, golden, said):
    inputs = [given(tritonclient.http, name, array) for name, array in golden.inputs.items()]
    answer = http.infer(model, inputs, request_id="7", model_version="champion", priority=1, timeout=1000000, parameters={"key": "42"})
    head = answer.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == (model, "1", "7"), head
    assert all("binary_data_size" in output["parameters"] for output in head["outputs"]), head
    rows = golden.check(f"{model} binary", answer.as_numpy)
    # The same, for one output.
    name = said["outputs"][-1]["name"]
    outputs = [tritonclient.http.InferRequestedOutput(name)]
    compression = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
    one = http.infer(model, inputs, outputs=outputs, **compression)
    assert [output["name"] for output in one.get_response()["outputs"]] == [name]
    # An echo of NaN is NaN.
    assert np.array_equal(one.as_numpy(name), answer.as_numpy(name), equal_nan=one.as_numpy(name).dtype.kind == "f")
    return rows


def as_json(http, model, golden, said):
    sayable, unsayable = golden.without_nan()
    # FP16 travels binary only; each of its values is exactly an FP32.
    arrays = {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in golden.inputs.items()}
    outputs = [tritonclient.http.InferRequestedOutput(tensor["name"], binary_data=False) for tensor in said["outputs"]]
    if unsayable:
        inputs = [given(tritonclient.http, name, array, binary_data=False) for name, array in arrays.items()]
        refused(lambda: http.infer(model, inputs, outputs=outputs), "400")
    inputs = [given(tritonclient.http, name, array[sayable], binary_data=False) for name, array in arrays.items()]
    answer = http.infer(model, inputs, outputs=outputs)
    assert all("data" in output for output in answer.get_response()["outputs"])
    return golden.check(f"{model} JSON", answer.as_numpy, sayable)


def over_grpc(grpc, model, golden, said):
    inputs = [given(tritonclient.grpc, name, array) for name, array in golden.inputs.items()]
    answer = grpc.infer(model, inputs, request_id="8", model_version="1", client_timeout=60, parameters={"key": "42"})
    head = answer.get_response()
    assert (head.model_name, head.model_version, head.id) == (model, "1", "8"), head
    found = grpc.get_model_metadata(model, as_json=True)
    for side in ("inputs", "outputs"):
        shapes = [(tensor["name"], tensor["datatype"], [int(dim) for dim in tensor["shape"]]) for tensor in found[side]]
        assert shapes == [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in said[side]], found
    return golden.check(f"{model} gRPC", answer.as_numpy)


def refused(call, status):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == status, error
        assert error.message(), "no reason"
        return error.message()
    raise AssertionError(f"not refused with {status}")


def check_server(http, grpc, channel, models):
    assert http.is_server_live() and http.is_server_ready()
    assert grpc.is_server_live() and grpc.is_server_ready()
    assert http.get_server_metadata()["name"] == grpc.get_server_metadata().name == "helenus"
    listed = {(entry["name"], entry["version"]): entry["state"] for entry in http.get_model_repository_index()}
    for model in models:
        assert listed[model, "1"] == "READY", listed
        assert http.is_model_ready(model) and http.is_model_ready(model, "1") and http.is_model_ready(model, "champion")
        assert grpc.is_model_ready(model) and grpc.is_model_ready(model, "champion")
    assert not http.is_model_ready(models[0], "99") and not http.is_model_ready("no_such_model")
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "inference.GRPCInferenceService" in services, services


def check_refusals(http, grpc, models):
    """Errors reach the users of both clients as such, with a text."""
    model, said = next((model, said) for model, said in models.items() if len(said["inputs"]) == 1)
    wrong = np.zeros((1, 3), dtype=np.float32)
    for client, call, bad, unknown in [
        (tritonclient.http, http.infer, "400", "404"),
        (tritonclient.grpc, grpc.infer, "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"),
    ]:
        name = said["inputs"][0]["name"]
        assert "shape" in refused(lambda: call(model, [given(client, name, wrong)]), bad)
        assert "nothing" in refused(lambda: call(model, [given(client, "nothing", wrong)]), bad)
        assert "no_such_model" in refused(lambda: call("no_such_model", [given(client, name, wrong)]), unknown)
        assert "99" in refused(lambda: call(model, [given(client, name, wrong)], model_version="99"), unknown)
        outputs = [client.InferRequestedOutput(said["outputs"][0]["name"], class_count=2)]
        assert "classification" in refused(lambda: call(model, [given(client, name, wrong)], outputs=outputs), bad)


def main():
    import grpc as plain

    http, grpc = tritonclient.http.InferenceServerClient(sys.argv[1]), tritonclient.grpc.InferenceServerClient(sys.argv[2])
    models = dict(argument.split("=", 1) for argument in sys.argv[3:])
    compared, metadata = {}, {}
    for model, folder in models.items():
        said = metadata[model] = http.get_model_metadata(model)
        golden = Golden(folder, said)
        compared[model] = {
            "binary": binary(http, model, golden, said),
            "json": as_json(http, model, golden, said),
            "grpc": over_grpc(grpc, model, golden, said),
        }
    with plain.insecure_channel(sys.argv[2]) as channel:
        check_server(http, grpc, channel, list(models))
    check_refusals(http, grpc, metadata)
    json.dump(compared, sys.stdout)


if __name__ == "__main__":
    main()
