"""Text: tokens and lower case in ONNX Runtime as in Python."""

from __future__ import annotations

import copy
from typing import Any

from ..errors import ExportRefused
from .columns import Rows
from .families import name, parts, steps_of

#: Python's patterns of tokens, and the same for ONNX Runtime, whose \\w is ASCII.
TOKENS = {
    r"(?u)\b\w\w+\b": r"[\pL\pN_]{2,}",
    r"\b\w\w+\b": r"[\pL\pN_]{2,}",
    r"\w\w+": r"[\pL\pN_]{2,}",
    r"(?u)\b\w+\b": r"[\pL\pN_]+",
    r"\b\w+\b": r"[\pL\pN_]+",
    r"\w+": r"[\pL\pN_]+",
}
VECTORIZERS = ("TfidfVectorizer", "CountVectorizer")


def prepared(pipeline: Any, rows: Rows) -> tuple[Any, dict[int, dict[str, Any]]]:
    """Returns the pipeline as it is to be exported, and the exporter's options for its vectorizers."""
    if not any(name(part) in VECTORIZERS for part in parts(pipeline)):
        return pipeline, {}
    if any("lower" in steps.split("+") for steps in rows.text.values()):
        pipeline = copy.deepcopy(pipeline)  # its vectorizers are changed
    options: dict[int, dict[str, Any]] = {}
    for vectorizer, features in _vectorizers(pipeline, rows):
        if features and all("lower" in rows.text.get(feature, "").split("+") for feature in features):
            vectorizer.lowercase = False  # the tensors hold lower case already, because the job makes it
        elif vectorizer.lowercase:
            _check_lower_case(rows, features)
        if vectorizer.analyzer == "word" and vectorizer.token_pattern in TOKENS:
            options[id(vectorizer)] = {"tokenexp": TOKENS[vectorizer.token_pattern]}
    return pipeline, options


def _vectorizers(pipeline: Any, rows: Rows) -> list[tuple[Any, list[str]]]:
    """Returns the vectorizers, each with the features that it reads."""
    texts = [feature for feature, kind in rows.kinds.items() if kind == "string"]
    first = steps_of(pipeline)[0]
    if name(first) != "ColumnTransformer":
        return [(part, texts) for part in parts(pipeline) if name(part) in VECTORIZERS]
    found = []
    for _, transformer, columns in first.transformers_:
        read = [columns] if isinstance(columns, str) else [column for column in columns if column in texts]
        found += [(part, read or texts) for part in parts(transformer) if name(part) in VECTORIZERS]
    return found


def _check_lower_case(rows: Rows, features: list[str]) -> None:
    for feature in features:
        for text in rows.columns[feature]:
            if text is not None and _ascii_lower(text) != text.lower():
                raise ExportRefused(
                    "export.lower_case",
                    f"texts of `{feature}` have capitals such as in {_word(text)!r}, and ONNX Runtime lower-cases ASCII letters only",
                    help=f'give text={{"{feature}": "lower"}} here, and `{feature} = {{ column = "…", text = "lower" }}` in the '
                    "job: helenus then lower-cases as Python does",
                )


def _ascii_lower(text: str) -> str:
    return "".join(character.lower() if character.isascii() else character for character in text)


def _word(text: str) -> str:
    return next(word for word in text.split() if _ascii_lower(word) != word.lower())


def use_portable_locale(model: Any) -> None:
    """The exporter names no locale; ONNX Runtime then needs en_US.UTF-8 on every worker."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "StringNormalizer" and not any(attribute.name == "locale" for attribute in node.attribute):
            node.attribute.append(helper.make_attribute("locale", "C"))
