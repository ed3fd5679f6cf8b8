"""examples/ci: the commands of each file, taken out of it and run as its CI would, in a Git repository of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import helenus
from conftest import Sandbox, contact

CI = Path(__file__).parents[2] / "examples/ci"
MODEL = Path(__file__).parents[2] / "models/breast_cancer_lr"


def of_github() -> list[str]:
    jobs = yaml.safe_load((CI / "github-actions.yml").read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "helenus" in step.get("run", "")]


def of_gitlab() -> list[str]:
    file = yaml.safe_load((CI / "gitlab-ci.yml").read_text())
    return [line for job in ("plan", "apply") for line in file[job]["script"]]


def of_jenkins() -> list[str]:
    text = (CI / "Jenkinsfile").read_text()
    return re.findall(r"sh\(script: '(helenus [^']*)'", text) + re.findall(r"sh '(helenus [^']*)'", text)


FILES = {"github-actions.yml": of_github, "gitlab-ci.yml": of_gitlab, "Jenkinsfile": of_jenkins}


@pytest.fixture(scope="module")
def table(sandbox: Sandbox) -> str:
    return sandbox.table("biopsies", pd.read_csv(MODEL / "data.csv").drop(columns="id").select_dtypes("number").astype("float32"))


def repository(folder: Path, name: str, table: str) -> None:
    """What docs/git.md describes, committed: a model, a job, its champion."""
    model = folder / "ml/models" / name
    model.mkdir(parents=True)
    for file in ("model.onnx", "features.txt", "golden.csv"):
        shutil.copy(MODEL / file, model)
    (model / "model.toml").write_text('file = "model.onnx"\nfeatures = "features.txt"\ngolden = "golden.csv"\nclasses = ["benign", "malignant"]\n')
    (folder / "ml/jobs").mkdir()
    (folder / "ml/jobs" / f"{name}.toml").write_text(
        f'job = "{name}"\nmodel = "{name}"\nversions = ["champion"]\n[source]\ntable = "{table}"\n[outputs]\npositive = "malignant"\n')
    (folder / "ml/aliases.toml").write_text(f'[{name}.champion]\nversion = "folder"\nmoved_by = "git"\n')
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "A model"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.mark.parametrize("file", FILES)
def test_a_plan_and_an_apply_as_the_ci_runs_them(file: str, sandbox: Sandbox, table: str, tmp_path: Path) -> None:
    name = re.sub(r"\W", "_", file.partition(".")[0].lower())
    repository(tmp_path, name, table)
    variables = {**os.environ, "HELENUS_CONTACT_POINTS": contact(), "HELENUS_KEYSPACE": sandbox.keyspace, "HELENUS_ONNXRUNTIME": str(helenus.find_library())}

    def run(command: str) -> Any:
        return subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300)

    plan, apply = FILES[file]()
    planned = run(plan)
    assert planned.returncode == (2 if "--detailed-exitcode" in plan else 0), planned.stderr + planned.stdout
    assert name in (tmp_path / ("plan.md" if "plan.md" in plan else "plan.json")).read_text()
    assert not registered(sandbox, name)
    applied = run(apply)
    assert applied.returncode == 0, applied.stderr + applied.stdout
    assert registered(sandbox, name) == [1]
    again = run("helenus --output json plan ml/ --detailed-exitcode")
    assert again.returncode == 0, json.loads(again.stdout)


def registered(sandbox: Sandbox, name: str) -> list[int]:
    return [row.version for row in sandbox.session.execute(f"SELECT version FROM {sandbox.keyspace}.model_versions WHERE name = %s", (name,))]
