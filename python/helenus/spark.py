"""Spark lends its machines to helenus, or scores what is not in Cassandra.

    import helenus, helenus.spark
    h = helenus.connect("db1")
    helenus.spark.run(spark, h.jobs["tumour"], tasks=16)                  # the table, by 16 tasks
    scorer = helenus.spark.scorer(spark, "tumour.bundle")                 # from `helenus bundle tumour tumour.bundle`
    predictions = df.mapInArrow(scorer, scorer.schema)                    # any DataFrame with the job's columns
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Optional

from ._binary import environment, find_binary
from .client import Job
from .errors import HelenusError, SystemFailure
from .results import Run

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Scorer", "run", "scorer"]

#: States of a run that is still worked on.
OPEN = ("planning", "running", "waiting")


def run(spark: Any, job: Job, *, tasks: Optional[int] = None, **options: Any) -> Run:
    """Scores a job's table with Spark's tasks, and returns the run when it has ended.

    The driver opens the run and works on it like any worker; each task starts `helenus worker --run ID`, which works until
    the run ends. A lost executor is a lost worker: others take over its splits. `tasks` is by default Spark's parallelism;
    options are those of `Job.score`. Executors need this package and must reach Cassandra; settings of `connect()` go with
    the tasks, so a password given there is in Spark's task data: prefer `password_file` on the executors.
    """
    done: list[Any] = []

    def score() -> None:
        try:
            done.append(job.score(progress=False, **options))
        except HelenusError as error:
            done.append(error)

    before = {run.run_id for run in job.runs()}
    scoring = threading.Thread(target=score, daemon=True)
    scoring.start()
    opened = None
    while scoring.is_alive() and opened is None:
        opened = next((run for run in job.runs(5) if run.run_id not in before and run.state in OPEN), None)
        time.sleep(0.2)
    if opened is not None:
        count = tasks or spark.sparkContext.defaultParallelism
        variables = dict(job._helenus._command.variables)
        run_id = opened.run_id
        work = spark.sparkContext.parallelize(range(count), count).map(lambda _: _work(run_id, variables))
        work.collect()
    scoring.join()
    if isinstance(done[0], HelenusError):
        raise done[0]
    ended: Run = done[0]
    return ended


def _work(run_id: str, variables: dict[str, str]) -> int:
    """In an executor: works on the run until it ends."""
    words = [find_binary(), "worker", "--run", run_id]
    worked = subprocess.run(words, env={**environment(), **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    # 1: the run failed on its data, which the driver reports.
    if worked.returncode not in (0, 1):
        raise SystemFailure("spark.worker", f"a worker ended with exit code {worked.returncode}: {worked.stderr[-500:]}")
    return worked.returncode


def scorer(spark: Any, bundle: "str | os.PathLike[str]") -> "Scorer":
    """Returns what `DataFrame.mapInArrow` calls, with the schema of its results.

    The bundle has the job's manifest and models and no credentials; Spark sends it to the executors.
    """
    path = Path(bundle).resolve()
    spark.sparkContext.addFile(str(path))
    return Scorer(path.name, _schema(path))


class Scorer:
    """Scores batches of source columns through `helenus pipe`, one process for each task."""

    def __init__(self, file: str, schema: Any) -> None:
        self.file = file
        self.schema = schema

    def __call__(self, batches: "Iterator[pyarrow.RecordBatch]") -> "Iterator[pyarrow.RecordBatch]":
        from pyspark import SparkFiles

        import pyarrow

        for batch in pipe(SparkFiles.get(self.file), batches):
            yield from pyarrow.Table.from_batches([batch]).cast(_known_to_spark(batch.schema)).to_batches()


def pipe(bundle: "str | os.PathLike[str]", batches: "Iterator[pyarrow.RecordBatch]") -> "Iterator[pyarrow.RecordBatch]":
    """Yields the predictions of batches of source columns, without Spark, too."""
    import pyarrow

    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return
    process = subprocess.Popen([find_binary(), "pipe", os.fspath(bundle)], env=environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None and stdout is not None and stderr is not None
    failed: list[BaseException] = []
    said: list[bytes] = []

    def feed() -> None:
        try:
            with pyarrow.ipc.new_stream(stdin, first.schema) as stream:
                stream.write_batch(first)
                for batch in batches:
                    stream.write_batch(batch)
            stdin.close()
        except BrokenPipeError:
            pass  # its exit code and words say why
        except BaseException as error:
            failed.append(error)
            process.kill()

    feeding = threading.Thread(target=feed, daemon=True)
    listening = threading.Thread(target=lambda: said.append(stderr.read()), daemon=True)
    feeding.start()
    listening.start()
    try:
        try:
            with pyarrow.ipc.open_stream(stdout) as stream:
                yield from stream
        except pyarrow.ArrowInvalid:
            pass  # an incomplete stream: the exit code says why
        feeding.join()
        code = process.wait()
        listening.join()
        if failed:
            raise failed[0]
        if code != 0:
            raise SystemFailure("spark.pipe", f"helenus pipe ended with exit code {code}: {b''.join(said).decode(errors='replace')[-800:]}")
    finally:
        process.kill()
        process.wait()


def _known_to_spark(schema: Any) -> Any:
    """Returns a schema with the types that Spark knows: times in microseconds, lists and blobs of any length."""
    import pyarrow

    def known(kind: Any) -> Any:
        if pyarrow.types.is_timestamp(kind):
            return pyarrow.timestamp("us", kind.tz)
        if pyarrow.types.is_fixed_size_binary(kind):
            return pyarrow.binary()
        if pyarrow.types.is_fixed_size_list(kind):
            return pyarrow.list_(known(kind.value_type))
        return kind

    return pyarrow.schema([field.with_type(known(field.type)) for field in schema])


def _schema(bundle: Path) -> Any:
    """Returns the schema of the predictions as Spark's."""
    import pyarrow
    from pyspark.sql.pandas.types import from_arrow_schema

    said = subprocess.run([find_binary(), "pipe", os.fspath(bundle), "--schema"], env=environment(), stdin=subprocess.DEVNULL,
                          capture_output=True)
    if said.returncode != 0:
        raise SystemFailure("spark.pipe", f"the bundle cannot be read: {said.stderr.decode(errors='replace')[-800:]}")
    with pyarrow.ipc.open_stream(said.stdout) as stream:
        return from_arrow_schema(_known_to_spark(stream.schema))
