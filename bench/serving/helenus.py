"""helenus as it is served: a model under the alias `champion`, a job whose predictions are stored, and one
that has none."""

import json
import socket
import subprocess
import sys
import urllib.error

from measure import ROOT
from serving import oip
from serving.load import Requests
from serving.server import Server, free_address, rss_mib
from worker import Worker
from world import NAMES

MODEL, STORED, FRESH = "serving", "serving_stored", "serving_fresh"
FILE = ROOT / "models" / "breast_cancer_lgbm" / "model.onnx"
POSITIVE = "p_malignant"
JSON = {"Content-Type": "application/json"}
# Few enough for Cassandra to answer from memory: servers are compared, not disks.
ROWS = 20_000
KEYS = 10_000


def prepare(world):
    """Makes the table, the model's two versions and the jobs; gives the table's name and rows, and the
    resident size of a worker that has loaded no model."""
    with world.of(min(world.rows, ROWS)):
        table, rows = world.table("columns", "serving"), world.rows
    world.push(MODEL, "columns", FILE, other_version())
    with Worker(world) as worker:
        promote(world, 1)
        worker_mib = rss_mib(worker.process.pid)
    for job in (STORED, FRESH):
        world.job(MODEL, "columns", name=job, table=table, versions=["champion"])
    world.helenus("score", STORED)
    return {"table": table, "rows": rows, "worker_mib": worker_mib}


def other_version():
    """The same model with a description: another version that answers the same."""
    folder = ROOT / "target" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    file, text = folder / "serving2.onnx", b"the second version"
    # ModelProto.doc_string is field 6; a field that follows is merged.
    file.write_bytes(FILE.read_bytes() + oip.field(6, text))
    return file


def promote(world, version):
    world.helenus("model", "promote", MODEL, str(version), "--now")


def token(world):
    """A file of tokens and a token in it; None while helenus has none."""
    helenus = world.program("helenus")
    if subprocess.run([helenus, "token", "--help"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        return None
    file = ROOT / "target" / "bench" / "serving_tokens.toml"
    file.unlink(missing_ok=True)
    made = world.helenus("--serve-tokens", str(file), "token", "new", "bench", "--rights", "score,read")
    return file, made["token"]


class Helenus(Server):
    """`helenus serve` with all settings at their defaults, but for its addresses and tokens."""

    def __init__(self, world):
        self.grpc_address, self.token = free_address(), token(world)
        address = free_address()
        flags = ["--serve-listen", address, "--serve-grpc-listen", self.grpc_address]
        if self.token:
            flags += ["--serve-tokens", self.token[0]]
        command = [world.program("helenus"), *flags, "serve", STORED, FRESH]
        super().__init__(command, address, "/ready", world.environment)

    def allowed(self, requests):
        """The same requests with the token."""
        if self.token:
            requests.headers["Authorization"] = f"Bearer {self.token[1]}"
        return requests

    def given(self, rows):
        body = lambda row: json.dumps({"rows": [dict(zip(NAMES, row))]}).encode()
        return self.allowed(Requests([f"/v1/jobs/{FRESH}/score"] * len(rows), [body(row) for row in rows], dict(JSON)))

    def by_key(self, job, rows):
        return self.allowed(Requests([f"/v1/jobs/{job}/predictions/{key}" for key in keys(rows)]))

    def infer(self, rows):
        """Requests by name of the Open Inference Protocol's two forms, or why there are none."""
        metadata = self.allowed(Requests([f"/v2/models/{MODEL}"]))
        try:
            tensor = json.loads(metadata.ask(self.address))["inputs"][0]["name"]
        except urllib.error.HTTPError as error:
            return {}, f"GET /v2/models/{MODEL}: {error.code}"
        return {
            "json": self.allowed(oip.infer_json(MODEL, tensor, rows)),
            "binary": self.allowed(oip.infer_binary(MODEL, tensor, rows)),
            "grpc": self.allowed(oip.infer_grpc(MODEL, tensor, rows)),
        }, None

    def serves_grpc(self):
        host, port = self.grpc_address.split(":")
        with socket.socket() as client:
            return client.connect_ex((host, int(port))) == 0


def keys(rows):
    """Keys of the table, spread over it; the first has the number 0."""
    step = max(1, rows // KEYS)
    # 7919 is a prime, so that neighbours in time are no neighbours in the table, and no key repeats.
    return [number * 7919 % (rows // step) * step for number in range(rows // step)]


def probability(wanted):
    """Of a function that reads helenus's answer; `wanted`: where the prediction must come from."""

    def read(answer):
        row = json.loads(answer)
        prediction = row.get("rows", [row])[0]["predictions"][0]
        if prediction["from"] != wanted:
            sys.exit(f"a prediction is {prediction['from']}, not {wanted}: {prediction}")
        return prediction["outputs"][POSITIVE]

    return read
