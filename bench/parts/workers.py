"""Several processes on one run."""

import sys

from measure import in_turn, ratios, run_together, told


def one_run(world):
    """`helenus score` by 1, 2 and 4 processes: whichever opens the run, the others join it."""
    world.table("vector")
    job = world.job("lr", "vector")

    def together(count):
        def go():
            world.empty(job)
            command = [world.program("helenus"), "--output", "json", "score", job]
            figures = run_together([command] * count, world.cassandra, world.environment)
            runs = {answer["run_id"]: sum(answer["scored"].values()) for answer in figures["answers"]}
            if runs != {next(iter(runs)): world.rows}:
                sys.exit(f"{count} processes were not on one run: {runs}")
            return figures

        return go

    counts = (1, 2, 4)
    figures = in_turn({count: together(count) for count in counts}, world.options.pairs)
    return {count: {**told(figures[count], world.rows), "speed_of_one": ratios(figures, count, 1)} for count in counts}
