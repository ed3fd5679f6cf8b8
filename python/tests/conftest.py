"""A keyspace of helenus's own and one for source tables, in the Cassandra that scripts/test-python started."""

from __future__ import annotations

import logging
import os
import uuid
from typing import Any, Iterator

# Reproducible sums.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import pytest
from cassandra.cluster import Cluster, Session

import helenus

# The driver warns of its own defaults.
logging.getLogger("cassandra").setLevel(logging.ERROR)


def contact() -> str:
    return os.environ["HELENUS_TEST_CASSANDRA"]


class Sandbox:
    """helenus in keyspaces of its own, and a session to make and read tables with."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keyspace = f"py{uuid.uuid4().hex[:12]}"
        self.data = f"{self.keyspace}_data"
        session.execute(f"CREATE KEYSPACE {self.data} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
        self.h = helenus.connect(contact(), keyspace=self.keyspace)
        self.h.migrate()

    def table(self, name: str, frame: Any, types: dict[str, str] | None = None) -> str:
        """Makes a table of a DataFrame's rows, with `id` as its key; null stays null, NaN stays NaN."""
        columns = {column_of(str(c)): (types or {}).get(str(c)) or cql_type(frame[c]) for c in frame.columns}
        fields = ", ".join(f'"{column}" {cql}' for column, cql in columns.items())
        self.session.execute(f"CREATE TABLE {self.data}.{name} (id int PRIMARY KEY, {fields})")
        places = ", ".join("?" * (len(columns) + 1))
        quoted = ", ".join(f'"{column}"' for column in columns)
        insert = self.session.prepare(f"INSERT INTO {self.data}.{name} (id, {quoted}) VALUES ({places})")
        waiting = []
        for number, row in enumerate(frame.itertuples(index=False)):
            values = [cell(value, cql) for value, cql in zip(row, columns.values())]
            waiting.append(self.session.execute_async(insert, [number, *values]))
        for future in waiting:
            future.result()
        return f"{self.data}.{name}"

    def drop(self) -> None:
        for keyspace in (self.keyspace, self.data):
            self.session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60)


def column_of(feature: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in feature)


def cql_type(values: Any) -> str:
    kind = values.dtype.kind
    return {"i": "bigint", "u": "bigint", "b": "boolean"}.get(kind) or (
        ("float" if values.dtype.itemsize == 4 else "double") if kind == "f" else "text")


def cell(value: Any, cql: str) -> Any:
    if value is None:
        return None
    if cql in ("bigint", "int"):
        return int(value)
    if cql in ("float", "double"):
        return float(value)
    if cql == "boolean":
        return bool(value)
    return value if isinstance(value, str) else None


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    host, _, port = contact().partition(":")
    cluster = Cluster([host], port=int(port), connect_timeout=30, control_connection_timeout=30)
    session = cluster.connect()
    session.default_timeout = 60
    yield session
    cluster.shutdown()


@pytest.fixture(scope="module")
def sandbox(session: Session) -> Iterator[Sandbox]:
    sandbox = Sandbox(session)
    yield sandbox
    sandbox.drop()
