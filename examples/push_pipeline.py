#!/usr/bin/env python3
"""Trains a pipeline, pushes it, scores a table with it, and shows the riskiest rows.

    pip install 'helenus[pandas,export]' scikit-learn
    python examples/push_pipeline.py tumour clinic.biopsies
"""
import argparse

import helenus
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", help="the model's name, and the job's")
parser.add_argument("table", metavar="KEYSPACE.TABLE", help="the table to score: a column for each feature, with _ for blanks")
arguments = parser.parse_args()

data = load_breast_cancer(as_frame=True)
X, diagnosis = data.data, data.target_names[data.target]
pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X[:400], diagnosis[:400])

h = helenus.connect()
version = h.push(arguments.name, pipeline, X[400:], reference=X[:400])
print(h.promote(arguments.name, version, why="an example")["reason"])
job = h.jobs.create(f"""
job = "{arguments.name}"
model = "{arguments.name}"
versions = ["champion"]
[source]
table = "{arguments.table}"
[outputs]
positive = "malignant"
""")
print(job.score())
print(job.predictions(top=5, by="p_malignant")[["id", "label", "p_malignant", "run_id"]])
