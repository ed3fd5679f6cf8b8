#!/usr/bin/env python3
"""Follows a run to its end.

    python examples/follow_a_run.py tumour 7c2a4e10-e55f-11f1-8b2a-0242ac120002
"""
import argparse
import time
import uuid

import common

ENDED = ("succeeded", "failed", "cancelled")
SELECT = (
    "SELECT state, reason, splits_done, splits_total, source_rows, scored, unchanged, rejected"
    " FROM runs WHERE job = %s AND run_id = %s"
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("job")
parser.add_argument("run", type=uuid.UUID)
common.add_arguments(parser)
arguments = parser.parse_args()

with common.connect(arguments) as session:
    until = time.monotonic() + arguments.wait
    told = None
    while True:
        run = session.execute(SELECT, (arguments.job, arguments.run)).one()
        if run is None:
            raise SystemExit(f"job {arguments.job} has no run {arguments.run}")
        told, before = (run.state, run.splits_done), told
        if told != before:
            print(f"{run.state}: {run.splits_done or 0} of {run.splits_total or '?'} splits", flush=True)
        if run.state in ENDED:
            break
        if time.monotonic() > until:
            raise SystemExit("it has not ended yet")
        time.sleep(0.3)
    if run.state != "succeeded":
        raise SystemExit(f"{run.state}: {run.reason}")
    print(f"{run.source_rows} rows")
    for outcome in ("scored", "unchanged", "rejected"):
        print(f"  {outcome}: {dict(getattr(run, outcome) or {})}")
