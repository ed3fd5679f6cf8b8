"""From a commit to a scored champion; the wheel's size; from `pip install` into an empty environment to the first prediction."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

from measure import ROOT, summary
from parts.end_to_end import copies
from world import DATA, FEATURES
from worker import Worker

FOLDER = ROOT / "target" / "bench" / "adoption"
JOB = "from_git"
FIRST_ROWS = 1_000


def figures(world):
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    wheel = world.options.wheel or build_wheel()
    return {
        "commit": {"rows": world.rows, **from_commit(world)},
        "wheel": {"name": wheel.name, "is_given": world.options.wheel is not None, "mib": round(wheel.stat().st_size / 2**20, 2)},
        "pip": {"rows": FIRST_ROWS, **from_pip(world, wheel)},
    }


def from_commit(world):
    """A changed model file is committed and applied, until the alias points at its version, which then has every row."""
    rounds = 1 if world.options.quick else min(world.options.pairs, 3)
    folder = FOLDER / "ml"
    first, *changed = copies(world, rounds + 1)
    declare(world, folder, first)
    git(folder, "init", "--quiet")
    stages = {"commit": [], "apply": [], "alias moved": []}
    with Worker(world):
        commit(folder)
        apply(world, folder)
        await_champion(world, 1)
        for version, file in enumerate(changed, 2):
            shutil.copyfile(file, folder / "models" / JOB / "model.onnx")
            began = time.monotonic()
            commit(folder)
            committed = time.monotonic()
            apply(world, folder)
            applied = time.monotonic()
            await_champion(world, version)
            moved = time.monotonic()
            check(world, version)
            for stage, end in zip(stages, (committed, applied, moved)):
                stages[stage].append(end - began)
            print(f"    from the commit: applied {applied - began:.1f} s, alias moved {moved - began:.1f} s", file=sys.stderr)
    return {"rounds": rounds, "until_s": {stage: summary(seconds, 2) for stage, seconds in stages.items()}}


def declare(world, folder, model):
    """The folder that docs/git.md describes, for one model, one job and its champion."""
    for part in (folder / "models" / JOB, folder / "jobs"):
        part.mkdir(parents=True)
    shutil.copyfile(model, folder / "models" / JOB / "model.onnx")
    shutil.copyfile(FEATURES, folder / "models" / JOB / "features.txt")
    (folder / "models" / JOB / "model.toml").write_text('file = "model.onnx"\nfeatures = "features.txt"\nclasses = ["benign", "malignant"]\n')
    manifest = (f'job = "{JOB}"\nmodel = "{JOB}"\nversions = ["champion"]\n\n[source]\ntable = "{DATA}.{world.table("columns")}"\n\n'
                '[outputs]\npositive = "malignant"\n')
    (folder / "jobs" / f"{JOB}.toml").write_text(manifest)
    (folder / "aliases.toml").write_text(f'[{JOB}.champion]\nversion = "folder"\nmoved_by = "git"\n')


def git(folder, *words):
    subprocess.run(["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", *words], cwd=folder, check=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A model")


def apply(world, folder):
    world.helenus("apply", str(folder), "--wait", "600")


def await_champion(world, version):
    read = "SELECT version FROM helenus_bench.model_aliases WHERE model = %s AND alias = 'champion' LIMIT 1"
    deadline = time.monotonic() + 1800
    while True:
        row = world.session.execute(read, (JOB,)).one()
        if row and row.version == version:
            return
        if time.monotonic() > deadline:
            sys.exit(f"the champion of {JOB} is {row}, not version {version}")
        time.sleep(0.05)


def check(world, version):
    """That the alias moved to a version that every row has been scored by."""
    found = world.helenus("score", JOB, "--version", str(version), "--dry-run")
    if sum(found["unchanged"].values()) != world.rows:
        sys.exit(f"version {version} of {JOB} became champion with rows missing: {found}")


def build_wheel():
    """The wheel that is published. It compiles for minutes, which nothing here measures."""
    maturin = pathlib.Path(sys.executable).with_name("maturin")
    command = [str(maturin), "build", "--quiet", "--locked", "--release", "--auditwheel", "skip", "--out", str(FOLDER)]
    subprocess.run(command, check=True, cwd=ROOT / "python")
    (wheel,) = FOLDER.glob("helenus-*.whl")
    return wheel


def from_pip(world, wheel):
    """The commands of a first prediction, in an environment that has nothing else. pip fetches what the wheel depends on, without a cache:
    its seconds depend on the package index."""
    with world.of(FIRST_ROWS):
        table = world.table("columns", name="first_rows")
    venv, keyspace = FOLDER / "venv", "helenus_first"
    subprocess.run(["python3", "-m", "venv", str(venv)], check=True)
    world.session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    model = ROOT / "models" / "breast_cancer_lgbm"
    manifest = FOLDER / "first.toml"
    manifest.write_text(f'job = "first"\nmodel = "first"\nversions = ["champion"]\n\n[source]\ntable = "{DATA}.{table}"\n\n'
                        '[outputs]\npositive = "malignant"\n')
    world.session.execute(f"DROP TABLE IF EXISTS {DATA}.first_predictions")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HELENUS_", "PYTHON", "PIP_"))}
    variables = {**inherited, **world.environment, "HELENUS_KEYSPACE": keyspace, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
    # That of the wheel's own dependency is to be found.
    del variables["HELENUS_ONNXRUNTIME"]
    helenus = str(venv / "bin" / "helenus")
    commands = {
        "pip install": [str(venv / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", str(wheel)],
        "migrate": [helenus, "migrate"],
        "model push": [helenus, "model", "push", "first", f"{model}/model.onnx", "--features", f"{model}/features.txt", "--golden", f"{model}/golden.csv"],
        "model promote": [helenus, "model", "promote", "first", "1", "--why", "the first one"],
        "job create": [helenus, "job", "create", str(manifest)],
        "score": [helenus, "score", "first"],
    }
    took, whole = {}, time.monotonic()
    for name, command in commands.items():
        began = time.monotonic()
        done = subprocess.run(command, env=variables, cwd=FOLDER, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stdout}\n{done.stderr}")
        took[name] = round(time.monotonic() - began, 2)
    if world.session.execute(f"SELECT label FROM {DATA}.first_predictions WHERE id = 1 LIMIT 1").one() is None:
        sys.exit("there is no first prediction")
    seconds = time.monotonic() - whole
    world.session.execute(f"DROP KEYSPACE {keyspace}")
    return {"seconds": round(seconds, 1), "steps_s": took}
