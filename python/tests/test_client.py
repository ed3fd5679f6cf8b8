"""The module from a push to the evidence, as a person would use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import helenus
from conftest import Sandbox, contact

DATA = load_breast_cancer(as_frame=True)
X, Y = DATA.data, np.array(DATA.target_names)[DATA.target]


@pytest.fixture(scope="module")
def tumour(sandbox: Sandbox) -> Sandbox:
    """Two versions of a model, both scored."""
    h = sandbox.h
    table = sandbox.table("biopsies", X.assign(truth=Y))
    for c, why in ((1.0, "the first"), (0.01, "")):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(X[:300], Y[:300])
        version = h.push("tumour", model, X[300:450], reference=X[:300], tags={"c": str(c)}, metrics={"c": c}, note=f"C = {c}")
        if why:
            h.promote("tumour", version, why=why)
    job = h.jobs.create(f'job = "tumour"\nmodel = "tumour"\nversions = ["champion", 2]\n[source]\ntable = "{table}"\n[outputs]\npositive = "malignant"\n')
    assert job.score().scored == 2 * len(X)
    return sandbox


def test_versions_and_settings(tumour: Sandbox) -> None:
    h = tumour.h
    assert h.models == ["tumour"] and list(h.jobs) == ["tumour"] and "tumour" in h.jobs and len(h.jobs) == 1
    assert [v["version"] for v in h.versions("tumour")] == [2, 1]
    champion = h.version("tumour", "champion")
    assert (champion.version, champion.state) == (1, "ready")
    assert str(champion).startswith("tumour version 1: ready") and "malignant" in champion._repr_html_()
    assert tumour.keyspace in repr(h) and h.setting("keyspace") == tumour.keyspace
    assert h.run("model", "show", "tumour", "1")["registered"]["tags"] == {"c": "1.0"}


def test_the_same_pipeline_gives_the_same_bytes(tumour: Sandbox) -> None:
    from helenus.export import export

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[:300], Y[:300])
    assert export(model, X[300:450]).onnx == export(model, X[300:450]).onnx


def test_a_file_is_pushed_by_its_path(tumour: Sandbox, tmp_path: Path) -> None:
    h = tumour.h
    h.pull("tumour", 1, tmp_path / "model.onnx")
    version = h.push("again", tmp_path / "model.onnx", features=[f"f{at}" for at in range(30)], classes=["good", "bad"])
    assert any(warning.startswith("no_golden_rows") for warning in version.warnings)
    assert h.run("model", "show", "again")["registered"]["class_names"] == ["good", "bad"]


def test_predictions_as_pandas_arrow_and_batches(tumour: Sandbox) -> None:
    h = tumour.h
    frame = h.predictions("tumour", "champion")
    assert len(frame) == len(X) and set(frame["model_version"]) == {1}
    assert set(frame["model_sha256"]) == {h.version("tumour", 1).sha256}
    assert len(h.predictions("tumour", None)) == 2 * len(X)
    few = h.predictions("tumour", 1, where="p_malignant > 0.9 and label = malignant")
    assert 0 < len(few) < len(X) and few["p_malignant"].min() > 0.9
    most = h.jobs["tumour"].predictions(1, top=5, by="p_malignant")
    assert len(most) == 5 and most["p_malignant"].is_monotonic_decreasing
    assert h.arrow("tumour").num_rows == len(X)
    batches = list(h.iter_batches("tumour", rows=100))
    assert sum(batch.num_rows for batch in batches) == len(X) and max(batch.num_rows for batch in batches) <= 100


def test_evidence_prints_and_renders(tumour: Sandbox) -> None:
    h = tumour.h
    compared = h.compare("tumour", "champion", 2, top=3)
    assert compared.baseline == 1 and compared.against[0].compared == len(X) and len(compared.against[0].most_different) == 3
    evaluated = h.evaluate("tumour", 1, 2, labels=f"{tumour.data}.biopsies.truth", threshold=[0.5, 0.8])
    assert evaluated.headline == "roc_auc" and 0.9 < evaluated.versions[0].metrics["roc_auc"] <= 1
    assert evaluated.versions[0].low["roc_auc"] < evaluated.versions[0].metrics["roc_auc"]
    explained = h.explain("tumour", 172)
    assert explained.key == {"id": 172} and explained.versions[0].verdict == "matching"
    assert explained.versions[0].stored == explained.versions[0].recomputed
    drift = h.drift("tumour")
    assert drift.features and any(f.against == "reference" for f in drift.features)
    verified = h.verify("tumour")
    assert verified.versions[1]["matching"] == len(X) and not verified.differences
    for result in (compared, evaluated, explained, drift, verified, h.jobs["tumour"].runs()[0]):
        assert len(str(result).splitlines()) > 2
        assert result._repr_html_().startswith("<div>") and "<table>" in result._repr_html_()
        assert "raw" not in repr(result)


def test_html_escapes_data(tumour: Sandbox) -> None:
    from helenus._tables import Table, as_html, as_text

    table = Table(["label"], [["<script>alert(1)</script>\x1b[2J"]])
    assert "<script>" not in as_html(table) and "\x1b" not in as_text(table)


def test_errors_are_exceptions_with_codes(tumour: Sandbox) -> None:
    h = tumour.h
    with pytest.raises(helenus.NotFound) as missing:
        h.version("nobody")
    assert missing.value.code == "model.no_version" and missing.value.exit_code == 5
    with pytest.raises(helenus.InvalidInput) as usage:
        h.run("model", "frobnicate")
    assert usage.value.code == "usage"
    with pytest.raises(helenus.Conflict):
        h.promote("tumour", 2, expected=7, now=True)
    with pytest.raises(helenus.InvalidInput) as manifest:
        h.jobs.create('job = "x"\nmodel = 3\n')
    assert manifest.value.code.startswith("job.")
    with pytest.raises(helenus.SystemFailure) as away:
        helenus.connect("127.0.0.1:1", keyspace="x", connect_timeout="300ms").models
    assert away.value.code.startswith("cassandra.")
    with pytest.raises(helenus.InvalidInput) as setting:
        helenus.connect("127.0.0.1:1", consistency="ONE")
    assert "consistency" in str(setting.value)
    with pytest.raises(helenus.SystemFailure) as binary:
        helenus.connect(binary="/nowhere/helenus")
    assert binary.value.code == "binary.unusable"


def test_a_failed_run_is_a_negative_answer_with_its_result(tumour: Sandbox) -> None:
    h = tumour.h
    table = tumour.table("holes", X.head(50).assign(**{"mean radius": [None] * 50}), {"mean radius": "double"})
    job = h.jobs.create(f'job = "holes"\nmodel = "tumour"\nversions = [1]\n[source]\ntable = "{table}"\n')
    with pytest.raises(helenus.NegativeAnswer) as failed:
        job.score()
    assert failed.value.code == "run.failed" and failed.value.result["state"] == "failed"
    job = h.jobs.create(job.manifest + '[rules]\nmax_rejected = "100%"\n')
    assert job.score().rejected == 50
    assert [row["reason"] for row in job.rejected(limit=3)] == ["null: feature `mean radius` is null"] * 3


def test_keys_limit_a_run(tumour: Sandbox) -> None:
    run = tumour.h.jobs["tumour"].score(keys=pd.DataFrame({"id": [1, 2, 3]}), note="three of them")
    assert (run.source_rows, run.unchanged, run.scope) == (3, 6, "keys")


def test_progress_goes_to_a_listener(tumour: Sandbox, capsys: Any) -> None:
    run = tumour.h.jobs["tumour"].score(scope="all", progress=True)
    shown = capsys.readouterr().err
    assert run.scored == 2 * len(X) and "569" in shown, shown
    tumour.h.jobs["tumour"].score()
    assert capsys.readouterr().err == ""


def test_ctrl_c_stops_the_executable_and_loses_nothing(tumour: Sandbox) -> None:
    """A slow run (10 rows a second) is interrupted; the same call then completes it."""
    job = tumour.h.jobs["tumour"]
    # Shells let their background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        job.score(scope="all", max_rate=10)
    assert time.monotonic() - began < 60
    (open_run,) = [run for run in job.runs() if run.state in ("running", "waiting", "planning")]
    tumour.h.run("run", "cancel", "tumour", open_run.run_id)
    assert job.score(scope="all").scored == 2 * len(X)


def test_a_killed_python_loses_nothing(tumour: Sandbox) -> None:
    """The executable is a process of its own: it completes the run."""
    job = tumour.h.jobs["tumour"]
    before = {run.run_id for run in job.runs()}
    program = f"import helenus; helenus.connect({contact()!r}, keyspace={tumour.keyspace!r}).jobs['tumour'].score(scope='all', max_rate=150)"
    killed = subprocess.Popen([sys.executable, "-c", program])
    until = time.monotonic() + 60
    while not (new := [run for run in job.runs() if run.run_id not in before and run.state == "running"]):
        assert time.monotonic() < until
        time.sleep(0.2)
    killed.kill()
    killed.wait()
    while (run := next(run for run in job.runs() if run.run_id == new[0].run_id)).state == "running":
        assert time.monotonic() < until, run
        time.sleep(0.5)
    assert (run.state, run.scored) == ("succeeded", 2 * len(X))


def test_the_module_is_a_command_line() -> None:
    shown = subprocess.run([sys.executable, "-m", "helenus", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("helenus ")


def mypy(*arguments: Any) -> str:
    package = Path(__file__).parents[1]
    settings = ["--strict", "--config-file", package / "pyproject.toml", "--cache-dir", os.devnull]
    done = subprocess.run([sys.executable, "-m", "mypy", *settings, *arguments], cwd=package, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_module_passes_mypy_in_strict_mode() -> None:
    said = mypy("helenus")
    assert said.startswith("Success"), said


def test_users_see_its_types(tmp_path: Path) -> None:
    assert (Path(helenus.__file__).parent / "py.typed").exists()
    (tmp_path / "program.py").write_text(
        "import helenus\nh = helenus.connect()\nreveal_type(h.compare('tumour', 1, 2).against[0].agreement)\nh.drift(3)\n")
    said = mypy(tmp_path / "program.py")
    assert 'Revealed type is "float | None"' in said.replace("Union[builtins.float, None]", "float | None").replace("builtins.", ""), said
    assert "[arg-type]" in said


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_the_module_is_valid_in_the_oldest_and_newest_python(version: str) -> None:
    import ast

    for path in Path(helenus.__file__).parent.rglob("*.py"):
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, int(version.split(".")[1])))
