"""The README's ways in, from nothing: each in a clean directory, by the README's own commands.

What stands for what the README names: a keyspace of the test's, its Cassandra's data centre, a directory for /usr/local. What is not
tried: cargo's release build (its manifest, lock and features are resolved; the executable is the one in this test run's wheel), and the image
where no container engine answers (then its steps are compared with what exists).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from conftest import Sandbox, contact

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADOPTING = README.split("## Adopting it")[1].split("\n## ")[0]
MODEL = ROOT / "models/breast_cancer_lgbm"


def install(way: str) -> list[str]:
    """Returns the commands of a way in."""
    item = re.search(rf"^   - \*\*{way}\*\*(.*?)(?=^   - \*\*|^2\. )", ADOPTING, re.M | re.S)
    assert item, f"the README has no way in that is called {way}"
    return re.findall(r"^ {9}(\S.*)$", item[1], re.M)


def steps() -> list[str]:
    """Returns the commands from the schema to the first explained prediction."""
    found = re.findall(r"^ {7}(helenus .*)$", ADOPTING, re.M)
    assert [command.split()[1] for command in found] == ["migrate", "model", "model", "model", "job", "job", "score", "score", "verify", "explain"]
    return [command.replace("'dc1': 3", "'datacenter1': 1") for command in found]


def run(commands: list[str], variables: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-xc", "\n".join(commands)], env=variables, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def bare() -> dict[str, str]:
    """Returns an environment without anything of helenus's or Python's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELENUS_", "PYTHON", "VIRTUAL_ENV"))}
    kept["PATH"] = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "helenus").exists())
    assert shutil.which("helenus", path=kept["PATH"]) is None
    return kept


@pytest.fixture(scope="module")
def table(sandbox: Sandbox) -> str:
    return sandbox.table("biopsies", pd.read_csv(MODEL / "data.csv").drop(columns="id").select_dtypes("number").astype("float32"))


def adopt(way: str, table: str, sandbox: Sandbox, variables: dict[str, str], cwd: Path) -> None:
    """From the schema to the first explained prediction, by the README's commands."""
    for name in ("model.onnx", "features.txt", "golden.csv"):
        shutil.copy(MODEL / name, cwd)
    manifest = f'job = "tumour"\nmodel = "tumour"\nversions = ["champion"]\n[source]\ntable = "{table}"\n[outputs]\npositive = "malignant"\n'
    (cwd / "tumour.toml").write_text(manifest)
    keyspace = f"{sandbox.keyspace}_{way}"
    sandbox.session.execute(f"DROP TABLE IF EXISTS {sandbox.data}.tumour_predictions")
    try:
        said = run(steps(), {**variables, "HELENUS_CONTACT_POINTS": contact(), "HELENUS_KEYSPACE": keyspace}, cwd)
    finally:
        sandbox.session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60)
    assert "569 scored" in said and "malignant" in said
    assert sandbox.session.execute(f"SELECT label FROM {sandbox.data}.tumour_predictions WHERE id = 42").one().label in ("benign", "malignant")


def test_pip(sandbox: Sandbox, table: str, tmp_path: Path) -> None:
    (tmp_path / "wheel.txt").write_text(f"helenus @ file://{os.environ['HELENUS_TEST_WHEEL']}\n")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    variables = bare()
    variables["PATH"] = f"{tmp_path / 'venv/bin'}:{variables['PATH']}"
    assert install("pip") == ["pip install helenus"]
    # Until a release is published, the wheel of this test run is what the name stands for.
    run(install("pip"), {**variables, "PIP_CONSTRAINT": str(tmp_path / "wheel.txt"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}, tmp_path)
    adopt("pip", table, sandbox, variables, tmp_path)


def test_cargo(sandbox: Sandbox, table: str, tmp_path: Path) -> None:
    clone, local = clean_copy(tmp_path), tmp_path / "local"
    (local / "bin").mkdir(parents=True)
    build, *others = (command.replace("/usr/local", str(local)) for command in install("cargo"))
    assert build.split()[:2] == ["cargo", "build"] and "--release" in build
    # All but the compiler: the lock file fits the manifest, the features exist.
    flags = [word for word in build.split()[2:] if word != "--release"]
    run([" ".join(["cargo", "metadata", "--format-version", "1", *flags])], bare(), clone)
    release = clone / "target/release"
    release.mkdir(parents=True)
    with zipfile.ZipFile(os.environ["HELENUS_TEST_WHEEL"]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".data/scripts/helenus"))
        (release / "helenus").write_bytes(wheel.read(name))
    variables = {**bare(), "PATH": f"{local / 'bin'}:{bare()['PATH']}"}
    library = run([*others, "echo $HELENUS_ONNXRUNTIME"], variables, clone).split()[-1]
    adopt("cargo", table, sandbox, {**variables, "HELENUS_ONNXRUNTIME": library}, tmp_path)


def test_container(tmp_path: Path) -> None:
    clone = clean_copy(tmp_path)
    steps_of_the_dockerfile_exist(context_of_the_image(clone, tmp_path))
    engine = subprocess.run(["docker", "info"], capture_output=True) if shutil.which("docker") else None
    if engine is None or engine.returncode:
        pytest.skip("no container engine answers: the image is NOT built")
    assert "helenus" in run(install("container"), bare(), clone)


def clean_copy(folder: Path) -> Path:
    """Copies what Git has of the work tree."""
    copy = folder / "helenus"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


def context_of_the_image(clone: Path, folder: Path) -> Path:
    """Copies what .dockerignore lets through: it ignores everything, and then takes some back."""
    first, *taken = [line for line in (clone / ".dockerignore").read_text().split("\n") if line and not line.startswith("#")]
    assert first == "*" and all(line.startswith("!") for line in taken)
    context = folder / "context"
    for name in (line[1:] for line in taken):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (clone / name).is_dir() else shutil.copy)(clone / name, context / name)
    shutil.copy(clone / "Dockerfile", context)
    return context


def steps_of_the_dockerfile_exist(context: Path) -> None:
    """It copies what is in its context, builds what the README builds with cargo, and fetches the library as the README does."""
    text = (context / "Dockerfile").read_text().replace("\\\n", " ")
    for source in re.findall(r"^COPY (?!--from)(\S+) ", text, re.M):
        assert (context / source).exists(), source
    (build,) = re.findall(r"^RUN (cargo build .*)$", text, re.M)
    assert build == install("cargo")[0] + " --bin helenus"
    (fetch,) = re.findall(r"^RUN (scripts/fetch-onnxruntime) ", text, re.M)
    assert install("cargo")[2].startswith(fetch) and (context / fetch).exists()
    # Every target that the manifest names is in the context, or cargo would end here.
    run(["cargo metadata --format-version 1 --locked --features kafka --no-deps"], bare(), context)


def test_the_readme_names_no_further_way_in() -> None:
    assert re.findall(r"^   - \*\*(\w+)\*\*", ADOPTING, re.M) == ["pip", "container", "cargo"]
