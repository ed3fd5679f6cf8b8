"""Data from a seed, with what makes exports go wrong: values at splits, missing values, categories, accents."""

from __future__ import annotations

import numpy as np
import pandas as pd

NUMBERS = ["rooms", "built", "area"]
TRAIN, HOLDOUT, STORED = slice(0, 1000), slice(1000, 1400), slice(1400, 1700)


def homes(missing: bool = False) -> pd.DataFrame:
    r = np.random.default_rng(16)
    n = 1700
    frame = pd.DataFrame({
        "rooms": r.integers(1, 9, n), "built": r.integers(1900, 2024, n).astype(float), "area": np.round(r.gamma(3, 30, n), 1),
        "city": r.choice(["Rio", "São Paulo", "Curitiba", "Zürich"], n), "kind of home": r.choice(["house", "flat"], n),
    })
    if missing:
        frame.loc[r.random(n) < 0.1, "area"] = np.nan
    return frame


def price(frame: pd.DataFrame) -> np.ndarray:
    noise = np.random.default_rng(17).normal(0, 10, len(frame))
    return (frame["rooms"] * 20 + (frame["built"] - 1900) + frame["area"].fillna(80) * 3 + noise).to_numpy()


def is_dear(frame: pd.DataFrame) -> np.ndarray:
    return np.where(price(frame) > 400, "dear", "cheap")


def band(frame: pd.DataFrame) -> np.ndarray:
    return np.digitize(price(frame), [300, 500])


def reviews(accents: bool) -> tuple[pd.Series, np.ndarray]:
    """Case 17: reviews in Portuguese and French, with capitals that ASCII does not know."""
    r = np.random.default_rng(17)
    if accents:
        good, bad = ["ótimo", "excelente", "très bon", "Gostei", "maçã fresca", "ÓTIMO"], ["péssimo", "horrível", "décevant", "MAU"]
    else:
        good, bad = ["otimo", "excelente", "tres bon", "Gostei", "fresca", "OTIMO"], ["pessimo", "horrivel", "decevant", "MAU"]
    middle = ["produto", "entrega", "livraison", "caixa", "prix", "loja"]
    texts, labels = [], []
    for at in range(1700):
        words = [*r.choice(good if at % 2 else bad, 2), *r.choice(middle, 3)]
        r.shuffle(words)
        texts.append(" ".join(words) + r.choice(["", "!", ".", " 10/10"]))
        labels.append("pos" if at % 2 else "neg")
    return pd.Series(texts, name="review"), np.array(labels)


def public_case(number: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and target of a case from public bug reports (tests/cases), from the case's own seed."""
    r = np.random.default_rng(number if number != 23 else 3)
    if number == 16:  # a scaler in front of trees
        n = 1500
        X = np.c_[r.integers(1, 9, n), r.integers(1900, 2024, n), r.integers(20, 240, n)].astype(float)
        return (pd.DataFrame(X, columns=["rooms", "built", "area"]),
                X[:, 0] * 20 + (X[:, 1] - 1900) + X[:, 2] * 3 + r.normal(0, 10, n))
    if number == 23:  # regressions on raw columns, whose float32 sums cancel
        n = 600
        X = np.c_[r.integers(1995, 2024, n), r.gamma(3, 30000, n).round(), r.integers(50, 400, n), r.gamma(6, 6000, n).round()]
        y = X[:, 3] * np.exp(-(2024 - X[:, 0]) / 9) - X[:, 1] * 0.02 + X[:, 2] * 10 + r.normal(0, 500, n)
        return pd.DataFrame(X, columns=["year", "km", "power", "price_new"]), y
    assert number == 25  # the shortest export there is: doubles
    X = r.normal(size=(300, 3))
    return pd.DataFrame(X, columns=["a", "b", "c"]), np.where(X[:, 0] > 0, "up", "down")
