"""Text: tokens and lower case in ONNX Runtime as in Python."""

from __future__ import annotations

import copy
from typing import Any

from ..errors import ExportRefused
from .columns import Rows
from .families import name, parts

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
    # The tensors hold lower case already where the job makes it.
    lowered = bool(rows.text) and all(
        "lower" in rows.text.get(feature, "").split("+") for feature, kind in rows.kinds.items() if kind == "string"
    )
    if lowered:
        pipeline = copy.deepcopy(pipeline)
    options: dict[int, dict[str, Any]] = {}
    for part in parts(pipeline):
        if name(part) not in VECTORIZERS:
            continue
        if lowered:
            part.lowercase = False
        elif part.lowercase:
            _check_lower_case(rows)
        if part.analyzer == "word" and part.token_pattern in TOKENS:
            options[id(part)] = {"tokenexp": TOKENS[part.token_pattern]}
    return pipeline, options


def _check_lower_case(rows: Rows) -> None:
    for feature, kind in rows.kinds.items():
        if kind != "string":
            continue
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
