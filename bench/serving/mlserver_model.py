"""A model for MLServer, which has no runtime for ONNX of its own."""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        # With more threads a call of one row costs more, not less.
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        self.tensor = self.session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        labels, probabilities = self.session.run(None, {self.tensor: rows})
        scores = np.array([list(row.values()) for row in probabilities], dtype=np.float32)
        outputs = [StringCodec.encode_output("label", list(labels)), NumpyCodec.encode_output("probabilities", scores)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
