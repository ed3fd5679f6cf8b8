"""The servers that helenus is held against, each in a virtual environment of its own (`scripts/setup --bench-peers`)."""

import json
import shutil
import subprocess

from measure import ROOT
from serving import oip
from serving.helenus import FILE, MODEL, keys
from serving.load import Requests
from serving.server import Server, free_address
from world import DATA, NAMES

HERE = ROOT / "bench" / "serving"
FASTAPI, MLSERVER = ROOT / ".dev" / "peers-venv" / "bin", ROOT / ".dev" / "mlserver-venv" / "bin"
SHOWN = {FASTAPI: ("fastapi", "uvicorn", "pydantic", "onnxruntime", "cassandra-driver"), MLSERVER: ("mlserver", "onnxruntime", "uvloop")}


def is_there(environment):
    return (environment.parent / "requirements.installed").exists()


def versions(environment):
    program = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    said = subprocess.run([environment / "python", "-c", program, *SHOWN[environment]], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout)


class FastApi(Server):
    """uvicorn with one process, as `pip install uvicorn[standard]` runs it, and without a log of requests."""

    def __init__(self, world, table):
        address = free_address()
        host, port = address.split(":")
        hosts, ports = zip(*(contact.split(":") for contact in world.cassandra.contacts))
        environment = {
            "MODEL": str(FILE), "FEATURES": ",".join(NAMES), "POSITIVE": "malignant", "TABLE": f"{DATA}.{table}",
            "CONTACT_POINTS": ",".join(hosts), "CONTACT_PORT": ports[0],
        }
        flags = ["--app-dir", HERE, "--host", host, "--port", port, "--no-access-log", "--log-level", "warning"]
        super().__init__([FASTAPI / "python", "-m", "uvicorn", *flags, "fastapi_app:app"], address, "/ready", environment)

    @staticmethod
    def given(rows, path):
        bodies = [json.dumps(dict(zip(NAMES, row))).encode() for row in rows]
        return Requests([path] * len(rows), bodies, {"Content-Type": "application/json"})

    @staticmethod
    def by_key(rows):
        return Requests([f"/predictions/{key}" for key in keys(rows)])

    @staticmethod
    def probability(answer):
        return json.loads(answer)["probability"]


class MlServer(Server):
    """MLServer with so many parallel workers; all else at its defaults, but for debugging, which is off."""

    def __init__(self, workers):
        folder = ROOT / "target" / "bench" / f"mlserver_{workers}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        address, *others = (free_address() for _ in range(3))
        ports = [int(one.split(":")[1]) for one in (address, *others)]
        settings = dict(zip(("http_port", "grpc_port", "metrics_port"), ports))
        settings |= {"host": "127.0.0.1", "debug": False, "parallel_workers": workers}
        model = {"name": MODEL, "implementation": "mlserver_model.OnnxModel", "parameters": {"uri": str(FILE)}}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        environment = {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}
        super().__init__([MLSERVER / "mlserver", "start", folder], address, f"/v2/models/{MODEL}/ready", environment)

    @staticmethod
    def given(rows):
        return oip.infer_json(MODEL, "X", rows)
