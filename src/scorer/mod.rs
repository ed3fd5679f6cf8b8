//! ONNX Runtime: the only place that knows it.
