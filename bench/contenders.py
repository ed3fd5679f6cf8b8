"""What takes turns: helenus, and the ceiling."""

import sys

from measure import run
from world import DATA


def helenus(world, job, *flags, empty=True, scored=None, before=None):
    """A run of a job, its prediction table empty before it. `scored`: how many predictions it must
    make, if not one of each row; `before`: what else comes first."""

    def go():
        if empty:
            world.empty(job)
        if before:
            before()
        command = [world.program("helenus"), "--output", "json", "score", job, *flags]
        figures = run(command, world.cassandra, world.environment)
        if "--dry-run" not in flags:
            answer = figures["answer"]
            got = sum(answer["scored"].values())
            if answer["state"] != "succeeded" or got != (world.rows if scored is None else scored):
                sys.exit(f"{job}: {answer['state']}, {got} scored: {answer}")
        return figures

    return go


def ceiling(world, what, shape, job, table=None, versions=1, differ=False, **settings):
    """The ceiling over the same table, its predictions into the job's table; at the settings that
    its grid has found, but for those given. With `differ`, its lineages do not compress."""
    settings = {**world.tuned(shape), "versions": versions, **settings}
    if versions > 1:
        # Batches of whole entities.
        settings["batch"] = settings.get("batch", 20) // versions * versions or versions
    if what == "write":
        settings["rows"] = world.rows
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    flags += ["--differ"] * differ

    def go():
        if what in ("both", "write"):
            world.empty(job)
        source, target = f"{DATA}.{table or shape}", f"{DATA}.{job}_predictions"
        where = ["--contact", world.cassandra.contact, "--source", source, "--target", target]
        command = [world.program("ceiling"), what, *where, *flags]
        figures = run(command, world.cassandra)
        answer = figures["answer"]
        read, written = answer["source_rows"], answer["written"]
        if (what != "write" and read != world.rows) or (what in ("both", "write") and written != world.rows * versions):
            sys.exit(f"the ceiling over {source} came to {answer}")
        return figures

    return go
