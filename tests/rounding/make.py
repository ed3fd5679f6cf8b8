"""Models whose float32 sums come out a few digits differently in batches of another size.
From a seed: python make.py, with what models/requirements.txt pins.

None of them reads other rows. Columns are raw (a year, kilometres, a price), as people have them.
"""

import csv

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR, OneClassSVM

NAMES = ["year", "km", "power", "price_new"]
random = np.random.default_rng(3)
X = np.c_[
    random.integers(1995, 2024, 600),
    random.gamma(3, 30000, 600).round(),
    random.integers(50, 400, 600),
    random.gamma(6, 6000, 600).round(),
].astype(float)
price = X[:, 3] * np.exp(-(2024 - X[:, 0]) / 9) - X[:, 1] * 0.02 + X[:, 2] * 10 + random.normal(0, 500, 600)
kind = np.digitize(price, [4000, 12000])
train, held = slice(0, 400), slice(400, 460)


def save(name, model, columns, inputs=FloatTensorType, rows=X[held], names=NAMES, **options):
    """The model, and golden rows that it has not seen; columns: header -> values of `rows`."""
    target = {"": 17, "ai.onnx.ml": 3}
    file = to_onnx(model, initial_types=[("X", inputs([None, len(names)]))], target_opset=target, **options)
    onnx.save(file, f"{name}.onnx")
    golden(name, columns, rows, names)


def golden(name, columns, rows, names=NAMES):
    with open(f"{name}.csv", "w", newline="") as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write([f"in.{column}" for column in names] + [f"out.{column}" for column in columns])
        for at, row in enumerate(rows):
            write([*row.tolist(), *(values[at] for values in columns.values())])


def classes(model, rows, label="label", scores="probabilities"):
    probabilities = model.predict_proba(rows)
    columns = {label: model.predict(rows)}
    return columns | {f"{scores}[{k}]": probabilities[:, k] for k in range(probabilities.shape[1])}


linear = LinearRegression().fit(X[train], price[train])
save("linear", linear, {"variable": linear.predict(X[held])})
save("linear_double", linear, {"variable": linear.predict(X[held])}, DoubleTensorType)

ridge = make_pipeline(PolynomialFeatures(2), Ridge()).fit(X[train], price[train])
save("polynomial", ridge, {"variable": ridge.predict(X[held])})

svr = make_pipeline(StandardScaler(), SVR(C=1e5)).fit(X[train], price[train])
save("svr", svr, {"variable": svr.predict(X[held])})

lda = LinearDiscriminantAnalysis().fit(X[train], kind[train])
save("lda", lda, classes(lda, X[held]), options={"zipmap": False})

one_class = make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)).fit(X[train])
columns = {"label": one_class.predict(X[held]), "scores": one_class.decision_function(X[held])}
save("one_class", one_class, columns)

mlp = make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=300, random_state=0)).fit(X[train], kind[train])
save("mlp", mlp, classes(mlp, X[held]), options={"zipmap": False})
