"""The wheel in a new environment, with nothing but what it asks for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


PYTHON = Path(os.environ.get("HELENUS_TEST_WHEEL_PYTHON", "/nowhere"))
MODELS = Path(__file__).parents[2] / "models"
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def check(words: list[Any], variables: dict[str, str], cwd: Path) -> dict[str, Any]:
    folder = MODELS / "breast_cancer_lgbm"
    words += ["--output", "json", "model", "check", folder / "model.onnx", "--features", folder / "features.txt",
              "--golden", folder / "golden.csv"]
    said = subprocess.run(words, env=variables, cwd=cwd, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)["result"]
    return answer


def test_the_command_line_finds_the_library_of_its_environment(tmp_path: Path) -> None:
    found = check([PYTHON.parent / "helenus"], BARE, tmp_path)
    listed = subprocess.run([PYTHON, "-c", "import onnxruntime; print(onnxruntime.__version__)"], capture_output=True, text=True, check=True)
    assert found["accepted"] and found["runtime_version"] == listed.stdout.strip()


def test_the_module_runs_the_command_line(tmp_path: Path) -> None:
    assert check([PYTHON, "-m", "helenus"], BARE, tmp_path)["accepted"]


def test_without_its_extras_the_module_says_what_to_install(tmp_path: Path) -> None:
    program = "import helenus\nh = helenus.connect('127.0.0.1:1')\ntry: h.push('m', object(), [['a']])\nexcept helenus.InvalidInput as e: print(e.code, e.help)"
    said = subprocess.run([PYTHON, "-c", program], env=BARE, cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.strip() == "python.missing pip install 'helenus[export]'", said.stderr


def test_a_named_library_wins(tmp_path: Path) -> None:
    words = [PYTHON, "-m", "helenus", "--output", "json", "model", "check", MODELS / "iris_mlp" / "model.onnx"]
    said = subprocess.run(words, env={**BARE, "HELENUS_ONNXRUNTIME": "/nowhere/libonnxruntime.so"}, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 3 and "/nowhere" in said.stdout
