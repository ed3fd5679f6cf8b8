"""Two versions held against each other, and against labels."""

import itertools
import sys

from cassandra.concurrent import execute_concurrent_with_args

from contenders import helenus
from measure import in_turn, run, told
from world import DATA, LR, MODELS

VERSIONS = (1, 2)
# A label of so many is not what version 1 predicts.
WRONG = 10


def compare_and_evaluate(world):
    """`helenus compare` and `helenus evaluate` over the predictions of a logistic regression and a
    LightGBM; half of what is read is predictions of each."""
    table = world.table("columns")
    world.push("iterations", "columns", LR, MODELS["lgbm"])
    job = world.job("iterations", "columns", name="iterations", table=table, versions=VERSIONS)
    helenus(world, job, scored=len(VERSIONS) * world.rows)()
    labels = outcomes(world, job)
    versions = ",".join(map(str, VERSIONS))
    contenders = {
        "compare": pass_over(world, lambda answer: answer["against"][0]["compared"], "compare", job, "--versions", versions),
        "evaluate": pass_over(
            world, lambda answer: answer["evaluated"],
            "evaluate", job, "--versions", versions, "--labels", labels, "--label-time", "known_at",
        ),
    }
    figures = in_turn(contenders, world.options.pairs)
    return {
        "rows": world.rows,
        "predictions": len(VERSIONS) * world.rows,
        "passes": {name: told(measured, world.rows) for name, measured in figures.items()},
    }


def pass_over(world, counted, *arguments):
    """A command that reads all predictions; `counted` says how many rows its answer is about."""

    def go():
        command = [world.program("helenus"), "--output", "json", *arguments]
        figures = run(command, world.cassandra, world.environment)
        if counted(figures["answer"]) != world.rows:
            sys.exit(f"{arguments[0]} counted {counted(figures['answer'])} of {world.rows} rows: {figures['answer']}")
        return figures

    return go


def outcomes(world, job):
    """Labels known after all predictions: what version 1 predicts, but for one in [`WRONG`]."""
    session, table = world.session, f"{DATA}.{job}_outcomes"
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, diagnosis text, known_at timestamp)")
    insert = session.prepare(f"INSERT INTO {table} (id, diagnosis, known_at) VALUES (?, ?, toTimestamp(now()))")
    other = {"benign": "malignant", "malignant": "benign"}
    rows = session.execute(f"SELECT id, label FROM {DATA}.{job}_predictions WHERE model_version = 1 ALLOW FILTERING")
    labelled = ((row.id, other[row.label] if row.id % WRONG == 0 else row.label) for row in rows)
    # Some at a time: the futures of all would not fit.
    while some := list(itertools.islice(labelled, 10_000)):
        execute_concurrent_with_args(session, insert, some, concurrency=64)
    return f"{table}.diagnosis"
