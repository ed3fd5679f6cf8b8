#!/usr/bin/env python3
"""Trains gradient boosted trees with LightGBM: a classifier, or a regression if the labels are numbers with fractions.

    helenus trainer --config trainer.toml
"""
from rows import Rows, write  # first: sets the thread counts

import lightgbm
import numpy as np
from sklearn.model_selection import train_test_split

SETTINGS = dict(n_estimators=100, num_leaves=15, learning_rate=0.1, n_jobs=1, verbose=-1, deterministic=True, force_row_wise=True)

rows = Rows()
seed = rows.about["seed"] % 2**31
fit, check = train_test_split(np.arange(len(rows.x)), test_size=0.2, random_state=seed)
if np.issubdtype(rows.y.dtype, np.floating):
    model = lightgbm.LGBMRegressor(random_state=seed, **SETTINGS).fit(rows.x[fit], rows.y[fit])
    error = model.predict(rows.x[check]) - rows.y[check]
    metrics = {"rmse": float(np.sqrt(np.mean(error**2)))}
else:
    model = lightgbm.LGBMClassifier(random_state=seed, **SETTINGS).fit(rows.x[fit], rows.y[fit])
    metrics = {"accuracy": float(model.score(rows.x[check], rows.y[check]))}
write(rows, model, metrics)
print(f"trained on {len(fit)} rows: {metrics}")
