"""What planning, claims and closing cost, beside a run over the whole table."""

import datetime

from contenders import helenus
from measure import summary

ROWS = 1_000


def overhead(world):
    """A run of as many splits over a thousand rows, from its request to its end: nearly all of its time
    is planning, claiming, and closing, whose read-back looks at every one of its rows. So it is an
    upper bound."""
    world.table("vector")
    job = world.job("lr", "vector")
    whole = [helenus(world, job)()["answer"] for _ in range(2)][-1]
    splits = whole["splits_total"]
    with world.of(ROWS):
        world.table("vector", name="small")
    small = world.job("lr", "vector", name="small", table="small")
    bare = []
    for _ in range(world.options.pairs + 1):
        answer = helenus(world, small, "--min-splits", str(splits), scored=ROWS)()["answer"]
        bare.append(took(answer))
    bare = bare[1:]
    seconds = took(whole)
    return {
        "splits": splits,
        "whole_run_seconds": seconds,
        "bare_run_seconds": summary(bare),
        "share": summary([one / seconds for one in bare]),
    }


def took(run):
    """Seconds from the request to the terminal state. `seconds` of the answer begin after planning."""
    at = lambda what: datetime.datetime.fromisoformat(run[what])
    return (at("finished_at") - at("due_at")).total_seconds()
