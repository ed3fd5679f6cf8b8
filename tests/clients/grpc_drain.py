"""Ends a gRPC server while calls are under way.

    grpc_drain.py ADDRESS MODEL PID

Prints, as JSON, how many calls were answered before and after SIGTERM. A call may fail only once the
health service has told that the server is not to be called.
"""
import json
import os
import signal
import sys
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

address, model, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
SERVING = health_pb2.HealthCheckResponse.SERVING
answered, failures = [], []


def call():
    calls = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(address))
    while True:
        began = time.monotonic()
        try:
            calls.ModelMetadata(service_pb2.ModelMetadataRequest(name=model), timeout=20)
        except grpc.RpcError as error:
            failures.append((began, error.code().name, error.details()))
            return
        answered.append(began)


def watch():
    """Returns when the health service told that the server is not to be called."""
    stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(address))
    for state in stub.Watch(health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService"), timeout=60):
        if state.status != SERVING:
            return time.monotonic()


threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
while len(answered) < 40:
    assert not failures, failures
    time.sleep(0.01)
os.kill(pid, signal.SIGTERM)
sent = time.monotonic()
told = watch()
for thread in threads:
    thread.join(60)
    assert not thread.is_alive(), "a call neither was answered nor failed"
early = [failure for failure in failures if failure[0] <= told]
assert not early, f"failed before the health service told so, {told - sent:.3f} s after SIGTERM: {early}"
assert {code for _, code, _ in failures} == {"UNAVAILABLE"}, failures
print(json.dumps({"before": sum(at < sent for at in answered), "after": sum(at >= sent for at in answered)}))
