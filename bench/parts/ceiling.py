"""The ceiling's own settings, tuned: a row of them at a time, the others at the best found so far."""

from contenders import ceiling
from measure import in_turn, told

# Batches first: they decide most.
GRID = {
    "batch": [16, 18, 20, 21, 30, 60, 120],
    "in_flight": [16, 32, 64, 128],
    "readers": [2, 4, 8, 16],
    "page_rows": [200, 500, 2000, 5000],
}
START = {"batch": 16, "in_flight": 64, "readers": 8, "page_rows": 2000}
ROUNDS = 3


def grid(world, shape):
    """Over half of the rows: which setting is better doesn't depend on how many there are."""
    with world.of(world.rows // 2):
        table = world.table(shape, name=f"half_{shape}")
        job = world.job("lr", shape, name=f"half_{shape}", table=table)
        return {"rows": world.rows, **climb(world, shape, table, job)}


def climb(world, shape, table, job):
    best, steps = dict(START), []
    rounds = min(ROUNDS, world.options.pairs)
    for setting, values in GRID.items():
        contenders = {
            value: counting(world, ceiling(world, "both", shape, job, table, **{**best, setting: value})) for value in values
        }
        figures = in_turn(contenders, rounds, dropped=0 if steps else 1)
        tried = {
            value: {**told(measured, world.rows), "warnings_logged": max(one["warnings"] for one in measured)}
            for value, measured in figures.items()
        }
        # Batches that Cassandra logs a warning of are nothing to recommend, nor to be measured against.
        allowed = [value for value in values if not tried[value]["warnings_logged"]]
        best[setting] = min(allowed, key=lambda value: tried[value]["seconds"]["median"])
        steps.append({"setting": setting, "others": dict(best), "tried": tried})
    return {"best": best, "steps": steps}


def counting(world, go):
    """With the warnings of batch sizes that Cassandra logs meanwhile."""

    def counted():
        text = "exceeding specified threshold"
        before = world.cassandra.logged(text)
        figures = go()
        return {**figures, "warnings": world.cassandra.logged(text) - before}

    return counted
