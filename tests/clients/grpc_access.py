"""Calls a gRPC server with tokens, whose names say what is expected of each.

    grpc_access.py ADDRESS MODEL RIGHT OTHER

RIGHT may score with MODEL, OTHER only with another model.
"""
import sys

import grpc
import numpy as np
import tritonclient.grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

address, model, right, other = sys.argv[1:]
client = tritonclient.grpc.InferenceServerClient(address)
calls = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address))
width = client.get_model_metadata(model, headers={"authorization": f"Bearer {right}"}).inputs[0].shape[1]


def infer(token):
    tensor = tritonclient.grpc.InferInput("X", [1, width], "FP32")
    tensor.set_data_from_numpy(np.ones((1, width), np.float32))
    headers = {"authorization": f"Bearer {token}"} if token else None
    return client.infer(model, [tensor], headers=headers)


def refused(token, status):
    try:
        infer(token)
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}", error
        assert error.message(), "no reason"
    else:
        raise AssertionError(f"not refused with {status}")


assert infer(right).get_response().model_name == model
refused(None, "UNAUTHENTICATED")
refused("hst_0000", "UNAUTHENTICATED")
refused(other, "PERMISSION_DENIED")
# Health needs no token: it tells load balancers nothing but that the server is there.
assert client.is_server_live() and client.is_server_ready()

# An id comes back, with errors as well; without one, one is made.
ready = service_pb2.ModelReadyRequest(name=model)
_, call = calls.ModelReady.with_call(ready, metadata=[("authorization", f"Bearer {right}"), ("x-request-id", "shop-17")])
assert dict(call.initial_metadata())["x-request-id"] == "shop-17", call.initial_metadata()
try:
    calls.ModelReady(ready)
except grpc.RpcError as error:
    found = dict(error.initial_metadata()) | dict(error.trailing_metadata())
    assert len(found["x-request-id"]) == 32, found
else:
    raise AssertionError("answered without a token")
