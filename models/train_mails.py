"""Which department a mail is for, as two iterations of one model: from its words, and from its words and pairs of words.

Texts come lower-cased: by the job (`text = "lower"`), which knows more letters than the exporter's StringNormalizer does in locale C. The
exporter's own pattern for tokens knows ASCII only, so it is given one that matches scikit-learn's.
"""

from __future__ import annotations

import common  # first: sets the thread counts

from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

import mails
from common import OPSET, Feature, Table, pick, publish

LEARNED, STORED = 4_000, 200
# Not the seed of the demo: it sends mails that the models have not seen.
SEED = 1
STRANGE = ["", "   ", "????", "Größe 5 — naïve café, 東京", 'He said "invoice", twice', "INVOICE Invoice iNvOiCe"]


def export(pipeline):
    return to_onnx(pipeline, initial_types=[("body", StringTensorType([None, 1]))], target_opset=OPSET,
                   options={LogisticRegression: {"zipmap": False}, TfidfVectorizer: {"tokenexp": r"[\pL\pN_]{2,}"}})


def main() -> None:
    def made(count, first):
        numbers = range(first, first + count)
        return [mails.mail(number, SEED)["body"].lower() for number in numbers], [mails.truth_of(number, SEED) for number in numbers]

    bodies, departments = made(LEARNED, 1)
    unseen, truth = made(1_000, LEARNED + 1)
    stored = [mails.mail(number, SEED) for number in range(LEARNED + 1, LEARNED + STORED + 1)]
    rows = [{"id": row["id"] - LEARNED, "received_at": row["received_at"], "sender": row["sender"], "subject": row["subject"], "body": row["body"]}
            for row in stored]
    rows += [{"id": len(rows) + place, "received_at": None, "sender": None, "subject": None, "body": body} for place, body in enumerate(STRANGE + [None], 1)]
    table = Table("mails", {"id": "int", "received_at": "timestamp", "sender": "text", "subject": "text", "body": "text"})
    for name, pairs, features in (("mails_words", 1, 400), ("mails_pairs", 2, 900)):
        pipeline = make_pipeline(TfidfVectorizer(lowercase=False, min_df=3, max_features=features, ngram_range=(1, pairs)),
                                 LogisticRegression(max_iter=1000, C=10.0)).fit(bodies, departments)
        print(f"{name}: accuracy {accuracy_score(truth, pipeline.predict(unseen)):.3f} on mails it has not seen")
        seen = [(row["body"] or "").lower() for row in rows]
        answers = [[str(label), *map(float, shares)] for label, shares in zip(pipeline.predict(seen), pipeline.predict_proba(seen))]
        chosen = pick(STORED)
        heads = ["in.body", "out.label"] + [f"out.probabilities[{place}]" for place in range(len(mails.DEPARTMENTS))]
        publish(name, export(pipeline), table, rows, features=[Feature("body", "body", {"text": "lower"})],
                expected=["label"] + [f"p_{department}" for department in mails.DEPARTMENTS],
                predictions=answers[:-1] + [None], golden=(heads, [[seen[place], *answers[place]] for place in chosen]))
        with (common.ROOT / name / "job.toml").open("a") as manifest:
            manifest.write('\n[rules]\nmax_rejected = "1%"\n')


if __name__ == "__main__":
    main()
