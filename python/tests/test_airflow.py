"""The provider with a real Airflow, a real `helenus serve` and a real worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helenus
from conftest import Sandbox, contact

AIRFLOW = Path(os.environ.get("HELENUS_TEST_AIRFLOW", ""))
DATA = load_breast_cancer(as_frame=True)
X, Y = DATA.data, np.array(DATA.target_names)[DATA.target]


class Airflow:
    """An Airflow of its own, connected to the server."""

    def __init__(self, home: Path, port: int, token: str) -> None:
        self.variables = {
            **os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "AIRFLOW__CORE__UNIT_TEST_MODE": "false", "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            "AIRFLOW_CONN_HELENUS_DEFAULT": json.dumps({"conn_type": "helenus", "host": "127.0.0.1", "port": port, "password": token}),
            "PATH": f"{AIRFLOW / 'bin'}:{os.environ['PATH']}",
        }
        self.variables.pop("PYTHONPATH", None)

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run([AIRFLOW / "bin" / "airflow", *arguments], env=self.variables, capture_output=True, text=True, timeout=300)
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, said[-6000:]
        return said

    def test(self, dag: str, fails: bool = False) -> str:
        return self("dags", "test", dag, fails=fails)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def served(sandbox: Sandbox, tmp_path_factory: Any) -> Iterator[tuple[Sandbox, Airflow]]:
    """Two versions of a scored model, a gate that passes, a server with a token, a worker."""
    h = sandbox.h
    table = sandbox.table("biopsies", X.assign(truth=Y, known_at=pd.Timestamp("2099-01-01")), {"known_at": "timestamp"})
    for row in sandbox.session.execute(f"SELECT id FROM {table}"):
        sandbox.session.execute(f"UPDATE {table} SET known_at = '2099-01-01' WHERE id = {row.id}")
    worse = make_pipeline(StandardScaler(), LogisticRegression(C=1e-5)).fit(X[:300], Y[:300])
    better = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:300], Y[:300])
    for model in (worse, better):
        h.push("tumour", model, X[300:450])
    h.promote("tumour", 1)
    h.promote("tumour", 2, alias="challenger", now=True)
    h.jobs.create(f'job = "tumour"\nmodel = "tumour"\nversions = [1, 2]\n[source]\ntable = "{table}"\n[outputs]\npositive = "malignant"\n')
    h.jobs["tumour"].score()
    h.run("gate", "add", "tumour", "better", "--metric", "log_loss", "--labels", f"{table}.truth", "--min-labelled-rows", "100")
    h.evaluate("tumour", "champion", "challenger", labels=f"{table}.truth", label_time="known_at")

    home = tmp_path_factory.mktemp("airflow")
    tokens, port = home / "tokens.toml", free_port()
    made = h.run("token", "new", "airflow", "--rights", "read,run,promote", "--file", str(tokens))
    variables = {**os.environ, "HELENUS_CONTACT_POINTS": contact(), "HELENUS_KEYSPACE": sandbox.keyspace,
                 "HELENUS_ONNXRUNTIME": str(helenus.find_library())}
    log = open(home / "helenus.log", "wb")
    serve = [helenus.find_binary(), "serve", "tumour", "--serve-listen", f"127.0.0.1:{port}", "--serve-tokens", str(tokens)]
    processes = [subprocess.Popen(words, env=variables, stdout=log, stderr=log) for words in (serve, [helenus.find_binary(), "worker"])]
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5)
                break
            except OSError:
                assert time.monotonic() < until, (home / "helenus.log").read_text()
                time.sleep(0.2)
        airflow = Airflow(home, port, made["token"])
        airflow("db", "migrate")
        yield sandbox, airflow
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_airflow_knows_the_provider(served: tuple[Sandbox, Airflow]) -> None:
    _, airflow = served
    assert "airflow-provider-helenus" in airflow("providers", "list")
    assert "airflow_provider_helenus.hook.HelenusHook" in airflow("providers", "hooks")


def test_a_dag_scores_waits_for_the_gate_and_promotes(served: tuple[Sandbox, Airflow]) -> None:
    sandbox, airflow = served
    said = airflow.test("score_and_promote")
    runs = sandbox.h.jobs["tumour"].runs()
    assert [run.scope for run in runs[:4]] == ["pending", "pending", "all", "pending"]
    assert runs[2].scored == 2 * len(X) and "1138 scored" in said
    assert runs[2].raw["requested_by"] == "airflow@http" and runs[2].raw["note"].startswith("Airflow: score_and_promote.score")
    assert sandbox.h.version("tumour", "champion").version == 2
    airflow.test("promoted_before")


def test_a_refused_promotion_fails_without_a_retry(served: tuple[Sandbox, Airflow]) -> None:
    _, airflow = served
    assert "HTTP 409" in airflow.test("refused_promotion", fails=True)


def test_a_task_whose_time_is_over_cancels_its_run(served: tuple[Sandbox, Airflow]) -> None:
    sandbox, airflow = served
    airflow.test("killed", fails=True)
    job, until = sandbox.h.jobs["tumour"], time.monotonic() + 90
    while job.runs()[0].state != "cancelled":
        assert time.monotonic() < until, job.runs()[0]
        time.sleep(0.5)


def test_a_retry_joins_the_run_of_the_try_that_died(served: tuple[Sandbox, Airflow]) -> None:
    sandbox, airflow = served
    before = len(sandbox.h.jobs["tumour"].runs())
    said = airflow.test("retried")
    runs = sandbox.h.jobs["tumour"].runs()
    assert len(runs) == before + 1 and runs[0].state == "succeeded"
    assert "the machine of the first try is gone" in said and "joins the run of try 1" in said


KILLS = """
import asyncio, time
from airflow_provider_helenus.hook import HelenusHook
from airflow_provider_helenus.triggers import HelenusRunTrigger

hook = HelenusHook()
request = hook.start_run("tumour", {"scope": "all", "max_rows_per_s": 10}, "killed-while-deferred")["request_id"]
while hook.get_run("tumour", request)["state"] != "running":
    time.sleep(0.3)
path, arguments = HelenusRunTrigger("helenus_default", "tumour", request, 0.5).serialize()
assert path == "airflow_provider_helenus.triggers.HelenusRunTrigger"
trigger = HelenusRunTrigger(**arguments)
asyncio.run(trigger.on_kill())

async def event():
    async for event in trigger.run():
        return event.payload["view"]["state"]

print("ended as", asyncio.run(event()))
asyncio.run(trigger.on_kill())  # a run that has ended: nothing happens
"""


def test_a_deferred_task_that_a_person_ends_cancels_its_run(served: tuple[Sandbox, Airflow]) -> None:
    _, airflow = served
    done = subprocess.run([AIRFLOW / "bin" / "python", "-c", KILLS], env=airflow.variables, capture_output=True, text=True, timeout=180)
    # Airflow 2 logs to stdout, too.
    assert "ended as cancelled" in done.stdout.splitlines(), done.stdout[-2000:] + done.stderr[-4000:]
