#!/usr/bin/env python3
"""Trains a logistic regression with scikit-learn. Rows with a null feature are left out.

    helenus trainer --config trainer.toml
"""
from rows import Rows, write  # first: sets the thread counts

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rows = Rows()
whole = ~np.isnan(rows.x).any(axis=1)
x, y = rows.x[whole], rows.y[whole]
fit, check = train_test_split(np.arange(len(x)), test_size=0.2, random_state=rows.about["seed"] % 2**31)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(x[fit], y[fit])
metrics = {"accuracy": float(model.score(x[check], y[check]))}
write(rows, model, metrics)
print(f"trained on {len(fit)} rows: {metrics}")
