"""TF-IDF on text: which of scikit-learn's data sets a sentence of their descriptions is about."""

from __future__ import annotations

import common  # first: sets the thread counts

import re
from importlib import resources

from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from common import OPSET, Feature, Table, pick, publish

SUBJECTS = ["breast_cancer", "california_housing", "iris", "twenty_newsgroups"]
STRANGE = ["", "   ", "????", "Größe der Blüte: 5 cm — naïve café", "IRIS iris IrIs", "東京 houses", 'He said "iris", twice']


def sentences() -> tuple[list[str], list[str]]:
    texts, subjects = [], []
    for subject in SUBJECTS:
        body = (resources.files("sklearn.datasets.descr") / f"{subject}.rst").read_text()
        for piece in re.split(r"(?<=[.:])\s+", body):
            piece = re.sub(r"\s+", " ", piece).strip()
            if 30 <= len(piece) <= 400:
                texts.append(piece)
                subjects.append(subject)
    return texts, subjects


def export(pipeline):
    """The exporter lower-cases in locale en_US.UTF-8, which a small image lacks; locale C knows all that `[a-z]` needs."""
    model = to_onnx(pipeline, initial_types=[("sentence", StringTensorType([None, 1]))], target_opset=OPSET,
                    options={LogisticRegression: {"zipmap": False}})
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            node.attribute.append(helper.make_attribute("locale", "C"))
    return model


def fitted():
    texts, subjects = sentences()
    pipeline = make_pipeline(TfidfVectorizer(token_pattern="[a-z]+", min_df=2, max_features=500),
                             LogisticRegression(max_iter=1000, C=5.0))
    return pipeline.fit(texts[::2], subjects[::2])


def main() -> None:
    pipeline, texts = fitted(), sentences()[0]
    stored = texts + STRANGE + [None]
    seen = texts + STRANGE + [""]
    answers = [[str(l), *map(float, row)] for l, row in zip(pipeline.predict(seen), pipeline.predict_proba(seen))]
    chosen = pick(len(texts))
    heads = ["in.sentence", "out.label"] + [f"out.probabilities[{i}]" for i in range(len(SUBJECTS))]
    publish("sentences_tfidf", export(pipeline), Table("sentences", {"id": "int", "sentence": "text"}),
            [{"id": i + 1, "sentence": text} for i, text in enumerate(stored)],
            features=[Feature("sentence", "sentence")], expected=["label"] + [f"p_{s}" for s in sorted(SUBJECTS)],
            predictions=answers[:-1] + [None], golden=(heads, [[texts[i], *answers[i]] for i in chosen]))


if __name__ == "__main__":
    main()
