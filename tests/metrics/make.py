"""Makes oracle.json: hard cases, and what scikit-learn and scipy say of them.

Needs the packages of examples/requirements.txt (`scripts/setup --examples`); deterministic.
Scores are written with enough digits to come back bit for bit.
"""

import json
import pathlib
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
CASES = []


def written(values):
    """Shortest digits of the stored type."""
    return [float(str(value)) if value.dtype == np.float32 else float(value) for value in values]


def binary(name, truth, scores, probabilities=True, thresholds=(0.5, 0.3, 0.7)):
    truth = np.asarray(truth, dtype=int)
    both = len(np.unique(truth)) == 2
    say = {}
    if both:
        say["roc_auc"] = metrics.roc_auc_score(truth, scores)
        say["average_precision"] = metrics.average_precision_score(truth, scores)
    standard_error = delong(truth, scores) if both else None
    if probabilities:
        say["log_loss"] = metrics.log_loss(truth, scores, labels=[0, 1])
        # Of float32 scores scikit-learn averages (y - p)^2 with ((1 - y) - (1 - p))^2, rounding 1 - p
        # to float32 (4e-10 off); asked in double precision it says what the formula says.
        say["brier"] = metrics.brier_score_loss(truth, scores.astype(float), pos_label=1)
    decided = {}
    for threshold in thresholds:
        said = (scores >= scores.dtype.type(threshold)).astype(int)
        decided[str(threshold)] = {
            "accuracy": metrics.accuracy_score(truth, said),
            "precision": metrics.precision_score(truth, said) if said.any() else None,
            "recall": metrics.recall_score(truth, said) if truth.any() else None,
            "f1": metrics.f1_score(truth, said) if said.any() or truth.any() else None,
        }
    if probabilities:
        observed, predicted = calibration(truth, scores)
    CASES.append(
        {
            "name": name,
            "kind": "binary",
            "single": scores.dtype == np.float32,
            "probabilities": probabilities,
            "truth": truth.tolist(),
            # As texts: a reader of JSON may round 0.9999999999999999 to 1, which is another ranking.
            "scores": [str(score) for score in written(scores)],
            "say": say,
            "roc_auc_standard_error": standard_error,
            "decided": decided,
            "calibration": [observed, predicted] if probabilities else None,
        }
    )


def delong(truth, scores):
    """Standard error of the area (DeLong, DeLong, Clarke-Pearson 1988)."""
    positive, negative = scores[truth == 1][:, None], scores[truth == 0][None, :]
    wins = (positive > negative) + 0.5 * (positive == negative)
    by_positive, by_negative = wins.mean(axis=1), wins.mean(axis=0)
    return (by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(by_negative)) ** 0.5


def calibration(truth, scores):
    from sklearn.calibration import calibration_curve

    observed, predicted = calibration_curve(truth, scores.astype(float), n_bins=16)
    return observed.tolist(), predicted.tolist()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


rng = np.random.default_rng(20261121)


def noisy(rows, share, spread=1.5, kind=np.float32):
    truth = (rng.random(rows) < share).astype(int)
    logit = np.log(share / (1 - share)) + spread * (truth - share) + rng.normal(size=rows)
    return truth, sigmoid(logit).astype(kind)


binary("plain", *noisy(1500, 0.4))
binary("double", *noisy(800, 0.4, kind=np.float64))
truth, scores = noisy(1500, 0.3)
binary("ties", truth, np.round(scores, 1).astype(np.float32))
binary("one_score", truth[:200], np.full(200, 0.25, np.float32))
binary("imbalance", *noisy(4000, 0.003, spread=4))
binary("perfect", [0] * 50 + [1] * 50, np.linspace(0.01, 0.99, 100).astype(np.float32))
binary("reversed", [1] * 50 + [0] * 50, np.linspace(0.01, 0.99, 100).astype(np.float32))
binary("only_positive", [1] * 60, np.linspace(0.2, 0.9, 60).astype(np.float32))
binary("only_negative", [0] * 60, np.linspace(0.2, 0.9, 60).astype(np.float32))
certain = np.array([0, 1, 0, 1, 1e-12, 1 - 6e-8, 1e-9, 0.5] * 20, np.float32)
binary("certain_and_wrong", [1, 0, 0, 1, 1, 0, 0, 1] * 20, certain)
binary("certain_in_double", [1, 0, 0, 1, 1, 0, 0, 1] * 20, np.array([0, 1, 0, 1, 1e-18, 1 - 1e-16, 1e-9, 0.5] * 20))
binary("narrow", truth, (0.5 + (scores - 0.5) * 1e-3).astype(np.float32))
truth, scores = noisy(1200, 0.35)
decision = np.log(scores / (1 - scores)).astype(np.float32)
binary("decision_values", truth, decision, probabilities=False, thresholds=(0.0, -1.0))
binary("huge_decision_values", truth, (decision * 1e6).astype(np.float32), probabilities=False, thresholds=(0.0,))


def classes(name, count, rows, weights=None, single=True):
    truth = rng.choice(count, size=rows, p=weights)
    logits = rng.normal(size=(rows, count)) + 1.3 * np.eye(count)[truth]
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    if name == "ties":
        p = np.round(p, 1)
    p = p.astype(np.float32 if single else np.float64)
    said = p.argmax(axis=1)
    labels = list(range(count))
    clipped = np.clip(p, np.finfo(p.dtype).eps, 1 - np.finfo(p.dtype).eps)
    given = clipped[np.arange(rows), truth]
    say = {
        "accuracy": metrics.accuracy_score(truth, said),
        "macro_f1": metrics.f1_score(truth, said, average="macro"),
        "weighted_f1": metrics.f1_score(truth, said, average="weighted"),
        "log_loss": metrics.log_loss(truth, p, labels=labels),
    }
    assert name == "ties" or abs(say["log_loss"] + np.log(given.astype(float)).mean()) < 1e-6
    for k in range(2, min(5, count - 1) + 1):
        say[f"top_{k}_accuracy"] = metrics.top_k_accuracy_score(truth, p, k=k, labels=labels)
    CASES.append(
        {
            "name": f"classes_{name}",
            "kind": "classes",
            "single": single,
            "classes": count,
            "truth": truth.tolist(),
            "said": said.tolist(),
            "probabilities": [written(row) for row in p],
            "say": say,
            "confusion": metrics.confusion_matrix(truth, said, labels=labels).tolist(),
        }
    )


classes("three", 3, 500)
classes("six", 6, 500, single=False)
classes("ties", 4, 500)
classes("rare", 3, 500, weights=[0.96, 0.04, 0.0])


def regression(name, truth, said):
    errors = said - truth
    nonzero = truth != 0
    say = {
        "mae": metrics.mean_absolute_error(truth, said),
        "mse": metrics.mean_squared_error(truth, said),
        "rmse": metrics.root_mean_squared_error(truth, said),
        "r2": metrics.r2_score(truth, said) if truth.std() > 0 else None,
        "mape": metrics.mean_absolute_percentage_error(truth[nonzero], said[nonzero]) if nonzero.any() else None,
    }
    wanted = [0.05, 0.25, 0.5, 0.75, 0.95]
    CASES.append(
        {
            "name": f"regression_{name}",
            "kind": "regression",
            "truth": truth.tolist(),
            "said": said.tolist(),
            "say": say,
            "zeros": int((~nonzero).sum()),
            "error": np.quantile(errors, wanted, method="lower").tolist(),
            "absolute_error": np.quantile(np.abs(errors), wanted, method="lower").tolist(),
        }
    )


truth = rng.normal(100, 20, 900)
regression("plain", truth, truth + rng.normal(0, 5, 900))
truth = rng.poisson(1.0, 700).astype(float)
regression("zeros", truth, truth + rng.normal(0, 0.5, 700))
regression("constant", np.full(50, 3.0), 3 + rng.normal(size=50))
# Few digits, so that every reader of JSON reads the same numbers.
truth = np.round(1e9 + rng.normal(0, 1, 400), 6)
regression("far_from_zero", truth, np.round(truth + rng.normal(0, 0.1, 400), 6))
truth = rng.lognormal(0, 3, 600)
regression("heavy_tails", truth, (truth * rng.lognormal(0, 0.3, 600)).astype(np.float32).astype(float))


def mcnemar(gained, lost):
    n, least = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    exact = min(1.0, 2 * stats.binom.cdf(least, n, 0.5))
    return 1 - 0.5 * stats.binom.pmf(least, n, 0.5) if gained == lost else exact - stats.binom.pmf(least, n, 0.5)


paired = []
for rows in (5, 40, 1000):
    a, b = rng.normal(size=rows), rng.normal(0.1, 1, size=rows)
    paired.append({"differences": (a - b).tolist(), "p": stats.ttest_rel(a, b).pvalue})
oracle = {
    "cases": CASES,
    "mcnemar": [[a, b, mcnemar(a, b)] for a, b in ((0, 0), (0, 1), (3, 3), (10, 2), (2, 10), (120, 90), (1000, 1100))],
    "paired_t": paired,
}
(HERE / "oracle.json").write_text(json.dumps(oracle) + "\n")
print(f"{len(CASES)} cases, {(HERE / 'oracle.json').stat().st_size} bytes")
