"""examples/push_pipeline.py, as its readers would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer

from conftest import Sandbox, contact

ROOT = Path(__file__).parents[2]


def test_the_example_pushes_scores_and_shows(sandbox: Sandbox, tmp_path: Path) -> None:
    table = sandbox.table("biopsies", load_breast_cancer(as_frame=True).data)
    variables = {**os.environ, "HELENUS_CONTACT_POINTS": contact(), "HELENUS_KEYSPACE": sandbox.keyspace}
    shown = subprocess.run([sys.executable, ROOT / "examples/push_pipeline.py", "tumour", table], env=variables, cwd=tmp_path,
                           capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "champion is version 1" in shown.stdout and "569 source rows" in shown.stdout and "p_malignant" in shown.stdout
