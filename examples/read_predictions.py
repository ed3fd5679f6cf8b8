#!/usr/bin/env python3
"""Reads the champion's predictions, and proves where they come from.

    python examples/read_predictions.py tumour clinic.tumour_predictions id=172 id=173
"""
import argparse
import hashlib

import common

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("table", metavar="KEYSPACE.TABLE", help="the prediction table")
parser.add_argument("key", nargs="+", metavar="COLUMN=VALUE", help="an entity by its key; values as CQL writes them")
parser.add_argument("--alias", default="champion")
common.add_arguments(parser)
arguments = parser.parse_args()


def sha256_of(session, model: str, version: int) -> bytes:
    """Of the bytes that are stored, not of what anybody says about them."""
    row = session.execute("SELECT sha256, chunks FROM model_versions WHERE name = %s AND version = %s", (model, version)).one()
    digest = hashlib.sha256()
    for number in range(row.chunks):
        chunk = session.execute("SELECT data FROM model_chunks WHERE sha256 = %s AND chunk = %s", (row.sha256, number)).one()
        digest.update(chunk.data)
    return digest.digest()


with common.connect(arguments) as session:
    # Never LIMIT 1 on the predictions: that is the newest version, not the champion.
    alias = session.execute(
        "SELECT version FROM model_aliases WHERE model = %s AND alias = %s LIMIT 1", (arguments.model, arguments.alias)
    ).one()
    if alias is None:
        raise SystemExit(f"no version of {arguments.model} is {arguments.alias}")
    proof = sha256_of(session, arguments.model, alias.version)
    missing = False
    for key in arguments.key:
        where = " AND ".join(key.split(","))
        row = session.execute(
            f"SELECT * FROM {arguments.table} WHERE {where} AND model_version = %s", (alias.version,)
        ).one()
        if row is None:
            print(f"{key}: not scored by version {alias.version}")
            missing = True
            continue
        values = row._asdict()
        lineage = values.pop("lineage")
        if lineage.model_sha256 != proof:
            raise SystemExit(f"{key}: made by other bytes than version {alias.version} has now")
        if lineage.rejected:
            print(f"{key}: rejected: {lineage.rejected}")
            continue
        outputs = {name: value for name, value in values.items() if name != "model_version"}
        print(f"{key}: {outputs}")
        print(f"  by {arguments.model} version {alias.version} (sha256 {proof.hex()[:12]}…), run {lineage.run_id}, at {lineage.scored_at}")
    raise SystemExit(1 if missing else 0)
