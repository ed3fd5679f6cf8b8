"""LightGBM, exported so that a float32 feature takes the same branch in ONNX Runtime as in LightGBM."""

from __future__ import annotations

import copy
import re

import lightgbm
import numpy as np
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from common import OPSET, SEED

SETTINGS = dict(learning_rate=0.1, random_state=SEED, deterministic=True, force_row_wise=True, n_jobs=1, verbose=-1)


def export(model, width: int, **options):
    """An ONNX model with one input X of floats.

    LightGBM compares doubles; ONNX holds thresholds as float32, rounded to nearest, so a feature that lies between a
    threshold and its rounding changes sides (seen: 3e-4 in a probability). Rounding them down first changes no decision
    on float32 features: x <= t if and only if x <= the largest float32 not above t.
    """
    text = re.sub(r"^threshold=.+$", lambda m: "threshold=" + " ".join(map(floor32, m[0][10:].split())),
                  model.booster_.model_to_string(), flags=re.M)
    text = re.sub(r"^tree_sizes=.+\n", "", text, flags=re.M)  # byte counts of the text before the change
    twin = copy.copy(model)
    twin._Booster = lightgbm.Booster(model_str=text)
    return convert_lightgbm(twin, initial_types=[("X", FloatTensorType([None, width]))], target_opset=OPSET[""], **options)


def floor32(text: str) -> str:
    exact, rounded = float(text), np.float32(text)
    down = np.nextafter(rounded, np.float32("-inf")) if float(rounded) > exact else rounded
    return repr(float(down))
