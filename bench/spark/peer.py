"""The same job by the Spark connector and ONNX Runtime, as people write it and tuned.

    peer.py default|tuned KEYSPACE TABLE PREDICTIONS MODEL NAMES       read, score, write the prediction table
    peer.py export KEYSPACE TABLE PARQUET                              the table's rows as Parquet

Each prediction has what helenus's lineage has: the model's sha256, two hashes of the row (blake2b, 16 bytes), an id of the run, the time.
A null, a changed column, a lost executor or a row that changes meanwhile are not handled here.
"""

import datetime
import hashlib
import os
import pathlib
import sys
import uuid

import numpy as np
from pyspark.sql import SparkSession, functions
from stages import twice

# One JVM with both cores: less to start and to send than executors of their own.
MASTER = "local[2]"
CONNECTOR = "org.apache.spark.sql.cassandra"
SCORED = "id int, label string, p_benign float, p_malignant float, input_hash binary, source_hash binary"
TUNED = {
    "spark.cassandra.input.fetch.sizeInRows": "5000",
    # Batches of many partitions, for one node has them all; 20 rows stay below the size that Cassandra warns of.
    "spark.cassandra.output.batch.grouping.key": "replica_set",
    "spark.cassandra.output.batch.size.rows": "20",
    "spark.cassandra.output.concurrent.writes": "16",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
}


def main():
    what, keyspace, table, *arguments = sys.argv[1:]
    jars = ",".join(map(str, sorted(pathlib.Path(os.environ["CONNECTOR_JARS"]).glob("*.jar"))))
    host, _, port = os.environ["HELENUS_CONTACT_POINTS"].split(",")[0].partition(":")
    builder = SparkSession.builder.master(MASTER).appName("peer").config("spark.ui.enabled", "false").config("spark.jars", jars)
    builder = builder.config("spark.driver.memory", "2g").config("spark.cassandra.connection.host", host).config("spark.cassandra.connection.port", port)
    for name, value in (TUNED if what == "tuned" else {}).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    rows = lambda: spark.read.format(CONNECTOR).options(keyspace=keyspace, table=table).load()
    if what == "export":
        rows().write.mode("overwrite").parquet(*arguments)
        return spark.stop()
    twice(spark, scoring(what, rows, keyspace, *arguments))


def scoring(what, rows, keyspace, target, model, names_file):
    names = pathlib.Path(names_file).read_text().split()
    sha256 = hashlib.sha256(pathlib.Path(model).read_bytes()).digest()

    def work():
        frame = rows().select("id", *names)
        score = (frame.mapInPandas if what == "default" else frame.mapInArrow)(SCORE[what](model, names), SCORED)
        lineage = functions.struct(
            functions.lit(sha256).alias("model_sha256"), "input_hash", "source_hash", functions.lit(str(uuid.uuid1())).alias("run_id"),
            functions.lit(datetime.datetime.now(datetime.timezone.utc)).alias("scored_at"), functions.lit(1).alias("job_revision"),
            functions.lit(None).cast("string").alias("arm"), functions.lit(None).cast("string").alias("rejected"),
        )
        predictions = score.select("id", functions.lit(1).alias("model_version"), "label", "p_benign", "p_malignant", lineage.alias("lineage"))
        predictions.write.format(CONNECTOR).mode("append").options(keyspace=keyspace, table=target).save()
        return {}

    return work


SESSIONS = {}


def session(model):
    """One for each Python worker, which serves several tasks."""
    import onnxruntime

    if model not in SESSIONS:
        options = onnxruntime.SessionOptions()
        # Each core has a task.
        options.intra_op_num_threads = 1
        SESSIONS[model] = onnxruntime.InferenceSession(model, options)
    return SESSIONS[model]


def hashes(ids, features):
    inputs = [hashlib.blake2b(row, digest_size=16).digest() for row in features]
    return inputs, [hashlib.blake2b(row, digest_size=16, key=key).digest() for key, row in zip(ids.astype("<i4").view("V4").tolist(), features)]


def in_pandas(model, names):
    def score(frames):
        import pandas

        scorer = session(model)
        for frame in frames:
            features = np.ascontiguousarray(frame[names].to_numpy(np.float32))
            labels, scores = scorer.run(None, {"X": features})
            inputs, sources = hashes(frame["id"].to_numpy(), features)
            yield pandas.DataFrame({"id": frame["id"], "label": labels, "p_benign": scores[:, 0], "p_malignant": scores[:, 1],
                                    "input_hash": inputs, "source_hash": sources})

    return score


def in_arrow(model, names):
    def score(batches):
        import pyarrow

        scorer = session(model)
        for batch in batches:
            features = np.ascontiguousarray(np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in names], axis=1), np.float32)
            labels, scores = scorer.run(None, {"X": features})
            ids = batch.column("id")
            inputs, sources = hashes(ids.to_numpy(), features)
            columns = [ids, labels, scores[:, 0], scores[:, 1], pyarrow.array(inputs, pyarrow.binary()), pyarrow.array(sources, pyarrow.binary())]
            yield pyarrow.RecordBatch.from_arrays([pyarrow.array(column) for column in columns],
                                                  ["id", "label", "p_benign", "p_malignant", "input_hash", "source_hash"])

    return score


SCORE = {"default": in_pandas, "tuned": in_arrow}

if __name__ == "__main__":
    main()
