"""Sends source columns to jobs through the clients of Triton or KServe, and prints what is answered.

    oip_jobs.py triton|kserve HTTP-ADDRESS GRPC-ADDRESS REQUESTS.json

A request is {"model", "version", "inputs": [{"name", "datatype", "values", "is_blob"}]}. Values are texts; those of a blob
are hexadecimal digits. Prints, for each request and kind, the outputs by name with datatype, shape and values: numbers as
hexadecimal digits of their little-endian bytes, BYTES as texts; or {"error", "status"}.
"""
import asyncio
import json
import sys

import numpy as np

TYPES = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}


def array(column, is_json):
    datatype, values = column["datatype"], column["values"]
    if datatype == "BYTES" and column["is_blob"]:
        values = ["0x" + value for value in values] if is_json else [bytes.fromhex(value) for value in values]
    elif datatype == "BYTES":
        values = values if is_json else [value.encode() for value in values]
    elif datatype == "BOOL":
        values = [value == "true" for value in values]
    else:
        values = [float(value) if datatype.startswith("FP") else int(value) for value in values]
    return np.array(values, dtype=TYPES[datatype])


def shown(name, datatype, values):
    if datatype == "BYTES":
        texts = [value.decode() if isinstance(value, bytes) else value for value in values.flatten()]
        return {"datatype": datatype, "shape": list(values.shape), "values": texts}
    assert values.dtype == TYPES[datatype], (name, datatype, values.dtype)
    return {"datatype": datatype, "shape": list(values.shape), "values": np.ascontiguousarray(values).tobytes().hex()}


def triton(requests):
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

    http, grpc = tritonclient.http.InferenceServerClient(sys.argv[2]), tritonclient.grpc.InferenceServerClient(sys.argv[3])

    def ask(request, module, client, is_binary):
        inputs, version = [], request["version"]
        for column in request["inputs"]:
            values = array(column, not is_binary)
            tensor = module.InferInput(column["name"], list(values.shape), column["datatype"])
            # gRPC is always raw.
            tensor.set_data_from_numpy(values, **({} if module is tritonclient.grpc else {"binary_data": is_binary}))
            inputs.append(tensor)
        try:
            options = {"as_json": True} if module is tritonclient.grpc else {}
            metadata = client.get_model_metadata(request["model"], version, **options)
            names = {tensor["name"]: tensor["datatype"] for tensor in metadata["outputs"]}
            options = {}
            if module is tritonclient.http and not is_binary:
                options["outputs"] = [module.InferRequestedOutput(name, binary_data=False) for name in names]
            answer = client.infer(request["model"], inputs, model_version=version, **options)
            assert client.is_model_ready(request["model"], version)
        except InferenceServerException as error:
            return {"error": error.message(), "status": error.status()}
        return {name: shown(name, datatype, answer.as_numpy(name)) for name, datatype in names.items()}

    listed = {(entry["name"], entry["version"]): entry["state"] for entry in http.get_model_repository_index()}
    return {
        "listed": sorted(name for name, _ in listed),
        "answers": [
            {
                "binary": ask(request, tritonclient.http, http, True),
                "json": ask(request, tritonclient.http, http, False),
                "grpc": ask(request, tritonclient.grpc, grpc, True),
            }
            for request in requests
        ],
    }


async def kserve(requests):
    # It enters the package without its server.
    from kserve_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig, InferInput, InferRequest, httpx
    from grpc import RpcError

    base, rest, grpc = f"http://{sys.argv[2]}", InferenceRESTClient(RESTConfig(protocol="v2")), InferenceGRPCClient(sys.argv[3])

    async def ask(request, over_grpc, is_binary):
        # A typed value of gRPC is bytes, as a raw one.
        inputs = []
        for column in request["inputs"]:
            values = array(column, not (is_binary or over_grpc))
            tensor = InferInput(column["name"], list(values.shape), column["datatype"])
            if over_grpc and not is_binary and column["datatype"] == "BYTES":
                tensor.data = list(values)
            else:
                tensor.set_data_from_numpy(values, binary_data=is_binary)
            inputs.append(tensor)
        model = request["model"]
        options = {"parameters": {"binary_data_output": True}} if is_binary and not over_grpc else {}
        wanted = InferRequest(model, inputs, **options)
        try:
            if over_grpc:
                answer = await grpc.infer(wanted)
                assert await grpc.is_model_ready(model)
            else:
                answer = await rest.infer(base, wanted, model_name=model)
                assert await rest.is_model_ready(base, model)
        except httpx.HTTPStatusError as error:
            return {"error": error.response.json()["error"], "status": error.response.status_code}
        except RpcError as error:
            return {"error": error.details(), "status": str(error.code())}
        assert answer.model_name == model, answer
        return {output.name: shown(output.name, output.datatype, output.as_numpy()) for output in answer.outputs}

    return {
        "answers": [
            {
                "binary": await ask(request, False, True),
                "json": await ask(request, False, False),
                "grpc": await ask(request, True, True),
                "grpc typed": await ask(request, True, False),
            }
            for request in requests
        ],
    }


def main():
    with open(sys.argv[4], encoding="utf-8") as file:
        requests = json.load(file)
    json.dump(triton(requests) if sys.argv[1] == "triton" else asyncio.run(kserve(requests)), sys.stdout)


if __name__ == "__main__":
    main()
