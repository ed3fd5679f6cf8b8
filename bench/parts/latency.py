"""From a request's row to its first prediction, and what waiting for requests costs."""

import contextlib
import random
import sys
import time

from measure import summary
from world import DATA
from worker import Worker

ASKED = 20
WORKERS = (1, 16)


def requests(world):
    world.table("columns")
    job = world.job("lr", "columns")
    world.empty(job)
    asked = 3 if world.options.quick else ASKED
    with Worker(world) as worker:
        # The first one loads the model.
        seconds = [ask(world, job, key) for key in range(asked + 1)]
        idle = {1: each_second(world, [worker])}
    ordered = sorted(seconds[1:])
    figures = {
        "cold_s": round(seconds[0], 3),
        "warm_s": {**summary(seconds[1:], 3), "p50": round(ordered[len(ordered) // 2], 3), "max": round(ordered[-1], 3)},
    }
    for count in WORKERS[1:]:
        with contextlib.ExitStack() as stack:
            idle[count] = each_second(world, [stack.enter_context(Worker(world)) for _ in range(count)])
    return {**figures, "idle_statements_per_s": idle}


def ask(world, job, key):
    """Seconds from the INSERT of a request for one key until its prediction can be read."""
    session = world.session
    read = session.prepare(f"SELECT model_version FROM {DATA}.{job}_predictions WHERE id = ?")
    # At any phase of the worker's polling.
    time.sleep(1.5 + random.Random(key).random())
    began = time.monotonic()
    session.execute(
        "INSERT INTO helenus_bench.run_requests (day, id, job, scope, keys) "
        "VALUES (toDate(now()), now(), %s, 'keys', [{'id': %s}])",
        (job, str(key)),
    )
    while not session.execute(read, (key,)).one():
        if time.monotonic() - began > 60:
            sys.exit(f"the request for key {key} has no prediction after 60 s")
        time.sleep(0.005)
    return time.monotonic() - began


def each_second(world, workers):
    """Statements a second of all these workers together, with nothing to do."""
    seconds = 5 if world.options.quick else 30
    # What a start or a request has set going comes to rest.
    time.sleep(seconds / 2)
    before, began = [worker.statements() for worker in workers], time.monotonic()
    time.sleep(seconds)
    after, took = [worker.statements() for worker in workers], time.monotonic() - began
    modes = sorted({mode for one in after for mode in one})
    grown = {
        mode: sum(later.get(mode, 0) - sooner.get(mode, 0) for sooner, later in zip(before, after)) / took for mode in modes
    }
    return {**{mode: round(rate, 2) for mode, rate in grown.items()}, "all": round(sum(grown.values()), 2)}
