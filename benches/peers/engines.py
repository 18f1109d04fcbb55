"""One measurement in a process of its own: loads a prepared network into one engine at one setting, checks it, times it.

    engines.py CASE_DIR ENGINE SETTING THREADS SECONDS GIVE_UP_MS  ->  one line of JSON on stdout

CASE_DIR is what prepare.py wrote. A step begins with the inputs in the layout and element type that the setting works in, and ends with the
outputs computed, in whatever layout and type they come. Loading, compiling and warming up are not timed. A setting whose first timed run
takes longer than GIVE_UP_MS is not run again.
"""

import json
import pathlib
import sys
import time
import warnings

WINOGRAD_23, WINOGRAD_43, WINOGRAD_63 = (f"use_winograd{kind}_convolution" for kind in (23, 43, 63))
NCNN_F16 = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")
NCNN_BF16 = ("use_bf16_packed", "use_bf16_storage")

# Engine -> setting -> (precision asked for, options of the loader below). ONNX Runtime's CPU provider has no 16-bit convolution.
SETTINGS = {
    "pytorch": {
        "eager, channels last": ("f32", {"channels_last": True}),
        "eager": ("f32", {}),
        "frozen": ("f32", {"mode": "frozen"}),
        "compiled": ("f32", {"mode": "compiled"}),
        "compiled, channels last": ("f32", {"mode": "compiled", "channels_last": True}),
        "bf16, channels last": ("bf16", {"dtype": "bfloat16", "channels_last": True}),
        "bf16 autocast, channels last": ("bf16", {"mode": "autocast", "channels_last": True}),
        "bf16 compiled, channels last": ("bf16", {"mode": "compiled", "dtype": "bfloat16", "channels_last": True}),
    },
    "onnxruntime": {
        "all optimisations": ("f32", {"level": "ORT_ENABLE_ALL"}),
        "all, threads sleep": ("f32", {"level": "ORT_ENABLE_ALL", "session.intra_op.allow_spinning": "0"}),
        "extended optimisations": ("f32", {"level": "ORT_ENABLE_EXTENDED"}),
    },
    "openvino": {
        "f32": ("f32", {"INFERENCE_PRECISION_HINT": "f32"}),
        "f32, pinned": ("f32", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": True}),
        "f32, auto partitioner": ("f32", {"INFERENCE_PRECISION_HINT": "f32", "TBB_PARTITIONER": "AUTO"}),
        "bf16": ("bf16", {"INFERENCE_PRECISION_HINT": "bf16"}),
        "f16": ("f16", {"INFERENCE_PRECISION_HINT": "f16"}),
    },
    "ncnn": {
        "winograd 43": ("f32", {"off": (WINOGRAD_23, WINOGRAD_63, *NCNN_F16)}),
        "winograd, its choice": ("f32", {"off": NCNN_F16}),
        "winograd 23": ("f32", {"off": (WINOGRAD_43, WINOGRAD_63, *NCNN_F16)}),
        "winograd 63": ("f32", {"off": (WINOGRAD_23, WINOGRAD_43, *NCNN_F16)}),
        "gemm": ("f32", {"off": ("use_winograd_convolution", *NCNN_F16)}),
        "direct": ("f32", {"off": ("use_winograd_convolution", "use_sgemm_convolution", *NCNN_F16)}),
        "unpacked": ("f32", {"off": ("use_packing_layout", *NCNN_F16)}),
        "bf16 storage": ("bf16", {"on": NCNN_BF16, "off": NCNN_F16}),
        "bf16 storage, winograd 43": ("bf16", {"on": NCNN_BF16, "off": (WINOGRAD_23, WINOGRAD_63, *NCNN_F16)}),
        "bf16 storage, gemm": ("bf16", {"on": NCNN_BF16, "off": ("use_winograd_convolution", *NCNN_F16)}),
        "f16 storage": ("f16", {"on": NCNN_F16}),
    },
}

# Largest difference to PyTorch f32 that a sound conversion shows, relative to the largest value of an output where that is above 1;
# a 16-bit setting closer than the last value has run in f32.
LIMIT = {"f32": 1e-4, "bf16": 5e-2, "f16": 5e-2}
RAN_IN_F32 = 1e-4


def load_pytorch(case_dir, inputs, threads, mode="eager", dtype="float32", channels_last=False):
    import torch

    import networks

    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    form = {"dtype": getattr(torch, dtype), "memory_format": layout}
    network = networks.build(json.loads((case_dir / "case.json").read_text())["network"], case_dir / "weights.safetensors").to(**form)
    tensors = [torch.from_numpy(array).to(**form) for array in inputs]
    if mode == "frozen":
        network = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, tensors)))
    if mode == "compiled":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        network = torch.compile(network)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            return networks.as_tuple(network(*tensors))

    return step, lambda outputs: [t.float().numpy() for t in outputs]


def load_onnxruntime(case_dir, inputs, threads, level, **config):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for key, value in config.items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(case_dir / "network.onnx", options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for port, array in zip(session.get_inputs(), inputs, strict=True):
        binding.bind_cpu_input(port.name, array)
    outputs = [numpy.empty(port.shape, numpy.float32) for port in session.get_outputs()]
    for port, array in zip(session.get_outputs(), outputs, strict=True):
        binding.bind_output(port.name, "cpu", 0, numpy.float32, array.shape, array.ctypes.data)
    return lambda: session.run_with_iobinding(binding), lambda _: outputs


def load_openvino(case_dir, inputs, threads, **properties):
    import openvino

    properties |= {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(case_dir / "network.onnx", "CPU", properties).create_infer_request()
    for i, array in enumerate(inputs):
        request.set_input_tensor(i, openvino.Tensor(array))
    return request.infer, lambda outputs: list(outputs.values())


def load_ncnn(case_dir, inputs, threads, on=(), off=()):
    import ncnn
    import numpy

    network = ncnn.Net()
    network.opt.num_threads = threads
    for switch, value in [*((name, True) for name in on), *((name, False) for name in off)]:
        setattr(network.opt, switch, value)
    if network.load_param(str(case_dir / "network.ncnn.param")) or network.load_model(str(case_dir / "network.ncnn.bin")):
        raise RuntimeError("ncnn cannot read the converted network")
    mats = [ncnn.Mat(array[0]) for array in inputs]

    def step():
        extractor = network.create_extractor()
        for i, mat in enumerate(mats):
            extractor.input(f"in{i}", mat)
        return [extractor.extract(f"out{i}")[1] for i in range(len(network.output_names()))]

    return step, lambda outputs: [numpy.array(mat)[None] for mat in outputs]


LOADERS = {"pytorch": load_pytorch, "onnxruntime": load_onnxruntime, "openvino": load_openvino, "ncnn": load_ncnn}


def measure(case_dir, engine, setting, threads, seconds, give_up_ms):
    """Milliseconds of one step, after at least one warm-up run, over at least two runs and `seconds`."""
    import numpy

    precision, options = SETTINGS[engine][setting]
    reference = numpy.load(case_dir / "reference.npz")
    inputs, expected = ([reference[key] for key in reference if key.startswith(kind)] for kind in ("in", "out"))
    step, to_arrays = LOADERS[engine](case_dir, inputs, threads, **options)

    warm_until = time.perf_counter() + 0.2 * seconds
    outputs = step()
    while time.perf_counter() < warm_until:
        outputs = step()
    found = to_arrays(outputs)
    if [a.shape for a in found] != [a.shape for a in expected]:
        raise RuntimeError(f"outputs of shape {[a.shape for a in found]}, expected {[a.shape for a in expected]}")
    difference = max(float(numpy.abs(a - b).max() / max(1, numpy.abs(b).max())) for a, b in zip(found, expected, strict=True))
    if not difference <= LIMIT[precision]:
        raise RuntimeError(f"differs from PyTorch f32 by {difference:.2g}, more than {LIMIT[precision]:g}")
    if precision != "f32" and difference < RAN_IN_F32:
        raise RuntimeError("the engine runs this setting in f32 on this machine")

    runs_ms, until = [], time.perf_counter() + seconds
    while len(runs_ms) < 2 or time.perf_counter() < until:
        start = time.perf_counter()
        step()
        runs_ms.append(1e3 * (time.perf_counter() - start))
        if runs_ms[0] > give_up_ms:
            break
    return {"runs_ms": runs_ms, "max_abs_diff": difference, "precision": precision}


def main(case_dir, engine, setting, threads, seconds, give_up_ms):
    warnings.simplefilter("ignore")
    try:
        result = measure(pathlib.Path(case_dir), engine, setting, int(threads), float(seconds), float(give_up_ms))
    except Exception as error:  # whatever a peer raises belongs in the table, not in a trace
        result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
