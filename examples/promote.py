#!/usr/bin/env python3
"""Points an alias at a version, or back at the one before.

    python examples/promote.py tumour 2 --why "better on the ward's cases"
    python examples/promote.py tumour --back
"""
import argparse
import getpass

import common

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("version", type=int, nargs="?")
parser.add_argument("--back", action="store_true", help="roll back instead")
parser.add_argument("--alias", default="champion")
parser.add_argument("--why")
common.add_arguments(parser)
arguments = parser.parse_args()
if arguments.back == (arguments.version is not None):
    parser.error("give a version, or --back")

with common.connect(arguments) as session:
    request = common.Request()
    session.execute(
        "INSERT INTO alias_requests (day, id, action, model, alias, version, requested_by, why)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            request.day,
            request.id,
            "rollback" if arguments.back else "promote",
            arguments.model,
            arguments.alias,
            arguments.version,
            getpass.getuser(),
            arguments.why,
        ),
    )
    print(common.answer(session, arguments, request).reason)
