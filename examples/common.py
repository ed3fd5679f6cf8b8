"""What the examples share: where Cassandra is, and waiting for a worker's answer."""
import argparse
import os
import time
from contextlib import contextmanager

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster


def add_arguments(parser: argparse.ArgumentParser) -> None:
    contact = os.environ.get("HELENUS_CONTACT_POINTS", "127.0.0.1:9042")
    parser.add_argument("--contact", default=contact, metavar="HOST:PORT", help=f"default: {contact}")
    keyspace = os.environ.get("HELENUS_KEYSPACE", "helenus")
    parser.add_argument("--keyspace", default=keyspace, help=f"helenus's own; default: {keyspace}")
    parser.add_argument("--user", help="its password is taken from HELENUS_PASSWORD")
    parser.add_argument("--wait", type=float, default=120, metavar="SECONDS", help="for a worker; default: 120")


@contextmanager
def connect(arguments):
    host, _, port = arguments.contact.split(",")[0].partition(":")
    login = arguments.user and PlainTextAuthProvider(arguments.user, os.environ["HELENUS_PASSWORD"])
    patience = {"connect_timeout": 30, "control_connection_timeout": 30}
    cluster = Cluster([host], port=int(port or 9042), auth_provider=login or None, **patience)
    try:
        session = cluster.connect(arguments.keyspace)
        session.default_timeout = 30
        yield session
    finally:
        cluster.shutdown()


def wait(arguments, read, done=lambda row: True):
    """Reads until there is a row that is `done`: people's rows are answered by a worker, soon and not at once."""
    until = time.monotonic() + arguments.wait
    while True:
        row = read()
        if row is not None and done(row):
            return row
        if time.monotonic() > until:
            raise SystemExit(f"no answer within {arguments.wait:.0f} s: does a worker run?")
        time.sleep(0.3)


def answer(session, arguments, request):
    """What a worker says to a request; exits with its reason where it says no."""
    said = wait(
        arguments,
        lambda: session.execute(
            "SELECT answer, reason, run_id FROM answers WHERE day = %s AND id = %s", (request.day, request.id)
        ).one(),
    )
    if said.answer in ("refused", "expired"):
        raise SystemExit(f"{said.answer}: {said.reason}")
    return said


class Request:
    """The key of a request: a time-based id, and the UTC day of that id."""

    def __init__(self):
        import datetime
        import uuid

        self.id = uuid.uuid1()
        seconds = (self.id.time - 0x01B21DD213814000) / 1e7
        self.day = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).date()
