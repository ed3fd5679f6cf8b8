"""Spark's executors as helenus's workers, and data that is not in Cassandra, scored by the same code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helenus
from conftest import Sandbox
from data import HOLDOUT, NUMBERS, STORED, TRAIN, homes, is_dear

H = homes()


def has(*command: str) -> bool:
    shown = subprocess.run([helenus.find_binary(), *command, "--help"], capture_output=True, text=True)
    return shown.returncode == 0 and (command != ("worker",) or "--run" in shown.stdout)


pytestmark = pytest.mark.skipif(not (has("pipe") and has("worker")), reason="this helenus has no `pipe` and no `worker --run`")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """Two executors, processes of their own, of one core each."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.master("local-cluster[2,1,1024]").appName("helenus").config("spark.ui.enabled", "false")
               .config("spark.sql.execution.arrow.pyspark.enabled", "true").getOrCreate())
    yield session
    session.stop()


@pytest.fixture(scope="module")
def job(sandbox: Sandbox) -> helenus.Job:
    h = sandbox.h
    pipeline = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=20, random_state=1))
    h.push("homes", pipeline.fit(H[NUMBERS][TRAIN], is_dear(H)[TRAIN]), H[NUMBERS][HOLDOUT])
    table = sandbox.table("homes", H[NUMBERS][STORED])
    return h.jobs.create(f'job = "homes"\nmodel = "homes"\nversions = [1]\n[source]\ntable = "{table}"\n')


def test_executors_work_on_a_run(spark: Any, job: helenus.Job) -> None:
    from helenus import spark as helenus_spark

    run = helenus_spark.run(spark, job, tasks=2, max_rate=30)
    assert (run.state, run.scored) == ("succeeded", 300)


def test_rows_that_are_not_in_cassandra_get_the_same_predictions(spark: Any, job: helenus.Job, sandbox: Sandbox, tmp_path: Path) -> None:
    from helenus import spark as helenus_spark

    bundle = tmp_path / "homes.bundle"
    sandbox.h.run("bundle", "homes", str(bundle))
    scorer = helenus_spark.scorer(spark, bundle)
    rows = H[NUMBERS][STORED].reset_index(drop=True)
    rows.insert(0, "id", np.arange(len(rows), dtype=np.int32))
    frame = spark.createDataFrame(rows).repartition(4)
    scored = frame.mapInArrow(scorer, scorer.schema).toPandas().sort_values("id").reset_index(drop=True)
    job.score()
    stored = job.predictions(1).sort_values("id").reset_index(drop=True)
    assert len(scored) == len(stored) == 300
    assert list(scored["label"]) == list(stored["label"])
    for column in ("p_cheap", "p_dear"):
        np.testing.assert_allclose(scored[column], stored[column], rtol=1e-5, atol=1e-6)
