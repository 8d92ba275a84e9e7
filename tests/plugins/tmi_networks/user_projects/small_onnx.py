"""A classifier in ONNX in the manner of exporters other than torch's: nodes without names, Constant nodes, computed shapes.

It is written with ``onnx.helper``: a convolution with SAME padding, batch normalisation, ReLU, average pooling, a matrix product
to which a bias is added, and a Gemm. A second output, the number of the class, needs an operator that is not converted.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def write(path, classes, image_shape, weights=None, opset=17):
    channels, rows, columns = image_shape
    rng = np.random.default_rng(0)
    flat = 4 * (rows // 2) * (columns // 2)
    own = {
        "W": rng.normal(0, 0.4, (4, channels, 3, 3)),
        "B": rng.normal(0, 0.1, 4),
        "scale": rng.uniform(0.5, 1.5, 4),
        "shift": rng.normal(0, 0.1, 4),
        "mean": rng.normal(0, 0.1, 4),
        "var": rng.uniform(0.5, 1.5, 4),
        "M": rng.normal(0, 0.2, (flat, 8)),
        "b": rng.normal(0, 0.1, 8),
        "G": rng.normal(0, 0.5, (classes, 8)),
        "g": rng.normal(0, 0.1, classes),
    }
    own |= weights or {}
    initializers = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in own.items()]
    minus_one = helper.make_tensor("value", TensorProto.INT64, [1], [-1])
    nodes = [
        helper.make_node("Conv", ["x", "W", "B"], ["conv"], kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        helper.make_node("BatchNormalization", ["conv", "scale", "shift", "mean", "var"], ["norm"], epsilon=1e-3),
        helper.make_node("Relu", ["norm"], ["relu"]),
        helper.make_node("AveragePool", ["relu"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["pool"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value=helper.make_tensor("zero", TensorProto.INT64, [], [0])),
        helper.make_node("Gather", ["shape", "zero"], ["count"], axis=0),
        helper.make_node("Constant", [], ["axes"], value=helper.make_tensor("axes", TensorProto.INT64, [1], [0])),
        helper.make_node("Unsqueeze", ["count", "axes"], ["counts"]),
        helper.make_node("Constant", [], ["rest"], value=minus_one),
        helper.make_node("Concat", ["counts", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["pool", "sizes"], ["flat"]),
        helper.make_node("MatMul", ["flat", "M"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "G", "g"], ["scores"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, rows, columns])
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes]),
    ]
    graph = helper.make_graph(nodes, "classifier", [given], outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="another tool")
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
