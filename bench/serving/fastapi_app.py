"""A model behind FastAPI, as people write it: a pydantic model of the features, a session, an endpoint.

`/score` is a plain function, which FastAPI runs in its pool of threads. `/score_async` scores on the event
loop. `/predictions/{key}` reads the row from Cassandra first.
"""

import os

import numpy as np
import onnxruntime
from cassandra.cluster import Cluster
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, create_model

NAMES = os.environ["FEATURES"].split(",")
POSITIVE = os.environ["POSITIVE"]
Features: type[BaseModel] = create_model("Features", **{name: (float, ...) for name in NAMES})

options = onnxruntime.SessionOptions()
# With more threads a call of one row costs more, not less.
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
tensor = session.get_inputs()[0].name

cluster = Cluster(os.environ["CONTACT_POINTS"].split(","), port=int(os.environ["CONTACT_PORT"]))
cassandra = cluster.connect()
read = cassandra.prepare(f"SELECT {', '.join(NAMES)} FROM {os.environ['TABLE']} WHERE id = ?")

app = FastAPI()


def predict(values):
    label, probabilities = session.run(None, {tensor: np.array([values], dtype=np.float32)})
    return {"label": str(label[0]), "probability": float(probabilities[0][POSITIVE])}


@app.get("/ready")
def ready():
    return {"ready": True}


@app.post("/score")
def score(row: Features):
    return predict([getattr(row, name) for name in NAMES])


@app.post("/score_async")
async def score_async(row: Features):
    return predict([getattr(row, name) for name in NAMES])


@app.get("/predictions/{key}")
def by_key(key: int):
    row = cassandra.execute(read, (key,)).one()
    if row is None:
        raise HTTPException(404, "no such row")
    return predict(list(row))
