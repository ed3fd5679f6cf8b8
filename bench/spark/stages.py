"""A Spark driver tells the benchmark where it is, and waits until it has been looked at."""

import json
import sys


def stage(**told):
    """Says that a stage has ended, and waits for the word to go on."""
    print(json.dumps(told), flush=True)
    sys.stdin.readline()


def twice(spark, work):
    """The stages of a driver: a first Python task has run, the work is done in cold JVMs, and again in warm ones."""
    spark.sparkContext.parallelize(range(2), 2).map(lambda number: number).collect()
    stage(stage="started")
    for turn in ("first", "warm"):
        stage(stage=turn, **work())
    spark.stop()
