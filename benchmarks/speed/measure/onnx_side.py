"""ONNX Runtime: a graph of one step, made by hand, its state fed back; one thread."""

from collections.abc import Callable
from typing import Any

import numpy as np

ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
"""ONNX's gates (i o f c; z r h) by their place in torch's (i f g o; r z n)."""


def steppers(kind: str, layer: Any) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Two ways to take a step, [1, input] -> [1, hidden]: with arrays, and with the buffers bound. Each has its own
    state, zeros at first."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3

    def session() -> Any:
        return onnxruntime.InferenceSession(_model(kind, layer), options, providers=["CPUExecutionProvider"])

    hidden = layer.hidden_size
    leaves = ["h", "c"] if kind == "LSTM" else ["h"]
    return {
        "onnxruntime": _plain(session(), leaves, hidden),
        "onnxruntime, bound": _bound(onnxruntime, session(), leaves, layer.input_size, hidden),
    }


def _plain(session: Any, leaves: list[str], hidden: int) -> Callable[[np.ndarray], np.ndarray]:
    feed = {leaf: np.zeros((1, 1, hidden), np.float32) for leaf in leaves}
    run = session.run

    def step(x: np.ndarray) -> np.ndarray:
        feed["x"] = x[None]
        for leaf, after in zip(leaves, run(None, feed), strict=True):
            feed[leaf] = after
        return feed["h"][0]

    return step


def _bound(
    runtime: Any, session: Any, leaves: list[str], inputs: int, hidden: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Two bindings in turn, each writing the state that the other reads; only the input is copied in."""
    value = runtime.OrtValue.ortvalue_from_numpy
    given = value(np.zeros((1, 1, inputs), np.float32))
    states = [{leaf: value(np.zeros((1, 1, hidden), np.float32)) for leaf in leaves} for _ in range(2)]
    bindings = []
    for turn in range(2):
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", given)
        for leaf in leaves:
            binding.bind_ortvalue_input(leaf, states[turn][leaf])
            binding.bind_ortvalue_output(f"{leaf}_after", states[1 - turn][leaf])
        bindings.append((binding, states[1 - turn]["h"]))
    turn = 0
    run = session.run_with_iobinding

    def step(x: np.ndarray) -> np.ndarray:
        nonlocal turn
        given.update_inplace(x[None])
        binding, after = bindings[turn]
        run(binding)
        turn = 1 - turn
        return after.numpy()[0]

    return step


def _model(kind: str, layer: Any) -> bytes:
    """torch's weights as an ONNX graph. The GRU's reset stands after its product, as in torch."""
    from onnx import TensorProto, helper, numpy_helper

    def rows(tensor: Any) -> np.ndarray:
        parts = np.split(tensor.detach().numpy(), len(ORDER[kind]))
        return np.concatenate([parts[place] for place in ORDER[kind]])

    weights = {
        "W": rows(layer.weight_ih_l0)[None],
        "R": rows(layer.weight_hh_l0)[None],
        "B": np.concatenate([rows(layer.bias_ih_l0), rows(layer.bias_hh_l0)])[None],
    }
    leaves = ["h", "c"] if kind == "LSTM" else ["h"]
    extra = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(
        kind,
        ["x", "W", "R", "B", "", *leaves],
        ["", *(f"{leaf}_after" for leaf in leaves)],
        hidden_size=layer.hidden_size,
        **extra,
    )

    def tensors(names: list[str], width: int) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, width]) for name in names]

    graph = helper.make_graph(
        [node],
        "step",
        [*tensors(["x"], layer.input_size), *tensors(leaves, layer.hidden_size)],
        tensors([f"{leaf}_after" for leaf in leaves], layer.hidden_size),
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()
