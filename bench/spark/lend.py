"""helenus on Spark, as docs/spark.md has it.

    lend.py run JOB                        executors work on the runs of a job
    lend.py pipe BUNDLE PARQUET OUT        `mapInArrow` over Parquet, the predictions into Parquet
"""

import sys

from pyspark.sql import SparkSession
from stages import twice

import helenus
import helenus.spark

# Two executors of one core each: processes of their own.
MASTER = "local-cluster[2,1,1024]"


def main():
    what, *arguments = sys.argv[1:]
    spark = SparkSession.builder.master(MASTER).appName("helenus").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    twice(spark, {"run": lend, "pipe": pipe}[what](spark, *arguments))


def lend(spark, name):
    job = helenus.connect().jobs[name]

    def work():
        run = helenus.spark.run(spark, job, tasks=2)
        return {"state": run.state, "rows": run.scored}

    return work


def pipe(spark, bundle, source, target):
    scorer = helenus.spark.scorer(spark, bundle)

    def work():
        frame = spark.read.parquet(source)
        frame.mapInArrow(scorer, scorer.schema).write.mode("overwrite").parquet(target)
        return {}

    return work


if __name__ == "__main__":
    main()
