"""Calls models through kserve's clients and holds the answers against their golden rows.

    kserve_client.py HTTP-ADDRESS GRPC-ADDRESS MODEL=FOLDER…

Prints, as JSON, how many rows of each model were compared by each kind of request. A process of its own: kserve and
tritonclient both bring the protocol's messages, and protobuf permits one of them.
"""
import asyncio
import importlib.util
import json
import sys
import types

import numpy as np

# `import kserve` also loads kserve's server and the client of Kubernetes, which need 150 MB more. Only the inference
# clients are wanted, so the package is entered without its __init__.
package = types.ModuleType("kserve")
package.__path__ = list(importlib.util.find_spec("kserve").submodule_search_locations)
sys.modules["kserve"] = package

import httpx  # noqa: E402
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig  # noqa: E402
from kserve.protocol.infer_type import InferInput, InferRequest  # noqa: E402

from golden import NUMPY, Golden, metadata  # noqa: E402


def request(model, said, arrays, is_binary, **options):
    inputs = []
    for tensor in said["inputs"]:
        array = arrays[tensor["name"]]
        datatype = next(name for name, kind in NUMPY.items() if array.dtype == kind)
        given = InferInput(tensor["name"], list(array.shape), datatype)
        given.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(given)
    return InferRequest(model, inputs, **options)


def outputs(answer):
    """Returns a function that returns an output as an array."""
    return {output.name: output.as_numpy() for output in answer.outputs}.__getitem__


async def call(rest, grpc, base, model, folder):
    said = metadata(sys.argv[1], model)
    golden = Golden(folder, said)
    assert await rest.is_model_ready(base, model) and await grpc.is_model_ready(model)
    compared = {}
    wanted = request(model, said, golden.inputs, True, request_id="9", parameters={"binary_data_output": True})
    answer = await rest.infer(base, wanted, model_name=model)
    assert (answer.id, answer.model_name) == ("9", model), answer
    compared["binary"] = golden.check(f"{model} binary", outputs(answer))
    sayable, _ = golden.without_nan()
    arrays = {name: array[sayable] for name, array in golden.inputs.items()}
    arrays = {name: array.astype(np.float32) if array.dtype == np.float16 else array for name, array in arrays.items()}
    answer = await rest.infer(base, request(model, said, arrays, False), model_name=model)
    compared["json"] = golden.check(f"{model} JSON", outputs(answer), sayable)
    answer = await grpc.infer(request(model, said, golden.inputs, True, request_id="10"))
    assert answer.id == "10", answer
    compared["grpc"] = golden.check(f"{model} gRPC", outputs(answer))
    answer = await grpc.infer(request(model, said, arrays, False))
    compared["grpc typed"] = golden.check(f"{model} gRPC typed", outputs(answer), sayable)
    return compared


async def main():
    base = f"http://{sys.argv[1]}"
    rest, compared = InferenceRESTClient(RESTConfig(protocol="v2")), {}
    async with InferenceGRPCClient(sys.argv[2]) as grpc:
        assert await rest.is_server_live(base) is True and await rest.is_server_ready(base) is True
        assert await grpc.is_server_live() and await grpc.is_server_ready()
        for argument in sys.argv[3:]:
            model, folder = argument.split("=", 1)
            compared[model] = await call(rest, grpc, base, model, folder)
    try:
        await rest.infer(base, InferRequest("no_such_model", []), model_name="no_such_model")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 404 and "no_such_model" in error.response.json()["error"], error.response.text
    else:
        raise AssertionError("an unknown model answered")
    json.dump(compared, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
