#!/usr/bin/env python3
"""Asks for a run of a job, and prints its id.

    python examples/ask_for_a_run.py tumour
"""
import argparse
import getpass

import common

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("job")
parser.add_argument("--all", action="store_true", help="score unchanged rows, too")
parser.add_argument("--note")
common.add_arguments(parser)
arguments = parser.parse_args()

with common.connect(arguments) as session:
    request = common.Request()
    session.execute(
        "INSERT INTO run_requests (day, id, job, scope, requested_by, note) VALUES (%s, %s, %s, %s, %s, %s)",
        (request.day, request.id, arguments.job, "all" if arguments.all else "pending", getpass.getuser(), arguments.note),
    )
    said = common.answer(session, arguments, request)
    print(said.run_id)
