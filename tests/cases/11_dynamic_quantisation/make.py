# The same classifier plain, dynamically quantised (the usual one-liner), statically quantised, and in float16.
import numpy as np, onnx
from onnx import helper as H, numpy_helper as N
from sklearn.neural_network import MLPClassifier
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from onnxruntime.quantization import quantize_dynamic, quantize_static, QuantType, CalibrationDataReader
from onnxconverter_common import float16
import onnxruntime as ort, lib, logging; logging.disable(logging.WARNING)
r = np.random.default_rng(11); names = ["a", "b", "c", "d", "e", "f"]
X = r.normal(size=(500, 6)).astype(np.float32); y = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)
m = MLPClassifier((24, 12), max_iter=400, random_state=0).fit(X, y)
(W1, W2, W3), (b1, b2, b3) = m.coefs_, m.intercepts_
f = lambda a, n: N.from_array(np.asarray(a, np.float32), n)
g = H.make_graph([H.make_node("MatMul", ["x", "W1"], ["m1"]), H.make_node("Add", ["m1", "b1"], ["h1"]), H.make_node("Relu", ["h1"], ["r1"]),
                  H.make_node("MatMul", ["r1", "W2"], ["m2"]), H.make_node("Add", ["m2", "b2"], ["h2"]), H.make_node("Relu", ["h2"], ["r2"]),
                  H.make_node("MatMul", ["r2", "W3"], ["m3"]), H.make_node("Add", ["m3", "b3"], ["logit"]), H.make_node("Softmax", ["logit"], ["probabilities"], axis=1)],
                 "net", [H.make_tensor_value_info("x", 1, ["N", 6])], [H.make_tensor_value_info("probabilities", 1, ["N", 2])],
                 [f(W1, "W1"), f(b1, "b1"), f(W2, "W2"), f(b2, "b2"), f(np.c_[-W3 / 2, W3 / 2], "W3"), f(np.r_[-b3 / 2, b3 / 2], "b3")])
o = H.make_model(g, opset_imports=[H.make_opsetid("", 17)], ir_version=8); onnx.save(o, "plain.onnx")
quantize_dynamic("plain.onnx", "dynamic.onnx", weight_type=QuantType.QInt8)
class R(CalibrationDataReader):
    def __init__(s): s.i = iter([{"x": X[k:k + 20]} for k in range(0, 500, 20)])
    def get_next(s): return next(s.i, None)
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed
q = onnx.load("dynamic.onnx"); make_dim_param_fixed(q.graph, "N", 1); onnx.save(q, "dynamic_one.onnx")
# Weights of 7 bits: those of 8 overflow on processors without VNNI, so results would depend on the machine.
quantize_static("plain.onnx", "static.onnx", R(), reduce_range=True)
onnx.save(float16.convert_float_to_float16(onnx.load("plain.onnx")), "half.onnx")
lib.features(names)
p = m.predict_proba(X)
lib.golden({c: X[:60, i] for i, c in enumerate(names)}, lib.probs("probabilities", p[:60]))
run = lambda path, a: ort.InferenceSession(path).run(None, {"x": a})[0]
alone = np.concatenate([run("dynamic.onnx", X[i:i + 1]) for i in range(200)]); together = run("dynamic.onnx", X[:200])
print("dynamic: alone against in a batch of 200, largest difference", np.abs(alone - together).max(), "labels that differ", (alone.argmax(1) != together.argmax(1)).sum())
print("static against plain", np.abs(run("static.onnx", X) - p).max(), " half", np.abs(run("half.onnx", X.astype(np.float16)).astype(float) - p).max())
lib.rows([{"id": i, **{c: X[i, j] for j, c in enumerate(names)}} for i in range(200)])
lib.expected([{"id": i, "p_no": p[i, 0], "p_yes": p[i, 1]} for i in range(200)])
s = run("static.onnx", X[:200])
lib.expected([{"id": i, "score_no": s[i, 0], "score_yes": s[i, 1]} for i in range(200)], "expected_static.csv")
hp = run("half.onnx", X[:200].astype(np.float16)); lib.expected([{"id": i, "p_no": hp[i, 0], "p_yes": hp[i, 1]} for i in range(200)], "expected_half.csv")

lib.expected([{"id": i, "p_no": alone[i, 0], "p_yes": alone[i, 1]} for i in range(200)], "expected_dynamic_one.csv")
