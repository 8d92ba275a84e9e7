from __future__ import annotations

import re
import warnings
from contextlib import ExitStack

import pytest

import tmi
from tests.tmi import toys
from tmi import load_suite
from tmi.engines import executor as module
from tmi.engines.job import JobResult, Options
from tmi.engines.product import Failed
from tmi.engines.serial import serial
from tmi.store.store import Store
from tmi.suites.plan import make_plan


@pytest.fixture
def compute(tmp_path, monkeypatch):
    """Compute a suite's cells with the serial engine; return the results of the jobs and the calls of the toys."""
    log = tmp_path / "calls"
    monkeypatch.setenv("TMI_TOY_LOG", str(log))
    toys.plugin(tmp_path)

    def computed(content, head='plugins = ["toys.py"]', **options):
        suite = load_suite(toys.suite(tmp_path, content, head=head))
        store = Store(tmp_path / "store")
        store.prepare()
        results = list(serial(make_plan(suite), Options(store, "a run", **options)))
        assert [o.planned.cell for o in results] == list(suite.cells)
        return results, log.read_text().split("\n")[:-1] if log.exists() else []

    return computed


TWO_PROBES = toys.BASE + '[probes.q]\nuse = "toy-probe"\nscale = 2\n'


def test_a_data_set_and_a_network_are_made_once(compute):
    results, calls = compute(TWO_PROBES + "[networks.m]\nuse = 'toy-net'\nwidth = 2", 'plugins = ["toys.py"]\nseeds = [3, 4]')
    assert calls == [line for s in (3, 4) for line in [f"data {s}", *[f"net {s}", f"probe {s} 1.0", f"probe {s} 2.0"] * 2]]
    assert all(o.stored is not None and not o.message for o in results)
    assert all(o.seconds > 0 for o in results)
    for record in (o.stored.record for o in results):
        assert all(record["seconds"][what] > 0 for what in ("dataset", "network", "probe")), "whenever they were made"
        assert record["data"] == {"source": "a toy"}


def test_a_cell_is_what_the_functions_make(compute, tmp_path):
    (result,), _ = compute(toys.BASE, 'plugins = ["toys.py"]\nseeds = [5]')
    registry = result.planned.registry
    data = registry.generate("toy-data", seed=5)
    network = registry.build("toy-net", data, seed=5)
    assert result.stored.metrics == registry.probe("toy-probe", network, data, seed=5).metrics


def test_a_failing_data_set_is_tried_once_a_seed(compute):
    results, calls = compute(
        TWO_PROBES + "[datasets.a]\nuse = 'bad-data'\n[networks.m]\nuse = 'toy-net'", 'plugins = ["toys.py"]\nseeds = [0, 1]'
    )
    assert [c for c in calls if c.startswith("bad-data")] == ["bad-data 0", "bad-data 1"]
    bad = [o for o in results if o.planned.cell.dataset.label == "a"]
    assert len(bad) == 8
    (message,) = {o.message for o in bad}
    assert re.fullmatch(r"ValueError: the toy is broken: raise \(toys\.py, line \d+\)", message)
    assert all("in bad_data" in o.traceback for o in bad)
    assert all(o.stored is not None for o in results if o not in bad)


def test_a_failing_network_is_tried_once_a_data_set(compute):
    results, calls = compute(TWO_PROBES + "[networks.m]\nuse = 'bad-net'\n")
    assert calls.count("bad-net 0") == 1
    assert [(str(o.planned.cell), o.stored is None) for o in results] == [
        ("d/n/p seed 0", False), ("d/n/q seed 0", False), ("d/m/p seed 0", True), ("d/m/q seed 0", True),
    ]  # fmt: skip


MESSAGES = {
    "raise": "ValueError: the toy is broken: raise",
    "exit": "SystemExit: 3",
    "tmi": "the toy is broken",
    "bracket": "ValueError: [/bold] is [no] markup",
    "unprintable": "Unprintable: without a message",
    "surrogate-message": r"ValueError: file \udcff",
}


@pytest.mark.parametrize("how", MESSAGES)
@pytest.mark.parametrize("kind", ["dataset", "network", "probe"])
def test_every_way_to_fail(compute, kind, how):
    old, new = {
        "dataset": ("toy-data", "bad-data"), "network": ("toy-net", "bad-net"), "probe": ("toy-probe", "bad-probe"),
    }[kind]  # fmt: skip
    (result,), _ = compute(toys.BASE.replace(f'"{old}"', f'"{new}"\nhow = "{how}"'))
    assert result.stored is None
    # An error that is not one of tmi's is a fault of the code: the place helps its author.
    message, place = re.fullmatch(r"(.*?)( \(toys\.py, line \d+\))?", result.message).groups()
    assert message == MESSAGES[how]
    assert (place is None) == (how == "tmi")
    assert "Traceback" in result.traceback


@pytest.mark.parametrize(
    ("how", "message"),
    [("nan", "metric 'a': is nan"), ("nothing", "returned NoneType, expected ProbeResult"), ("nul-name", "cannot be stored")],
)
def test_what_is_no_result(compute, how, message):
    (result,), _ = compute(toys.BASE.replace('"toy-probe"', f'"bad-probe"\nhow = "{how}"'))
    assert result.stored is None
    assert message in result.message


def test_ctrl_c_is_no_failure(compute, tmp_path):
    toys.plugin(tmp_path, "stopping", STOPPING)
    with pytest.raises(KeyboardInterrupt):
        compute(toys.BASE.replace("toy-probe", "stopping"), 'plugins = ["stopping.py", "toys.py"]')


STOPPING = """
import warnings
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"stopping": "STEM:stopping", "warning": "STEM:warning"}


def stopping(network, data) -> tmi.ProbeResult:
    \"\"\"Stop.\"\"\"
    raise KeyboardInterrupt


def warning(network, data, *, fail: bool = False) -> tmi.ProbeResult:
    \"\"\"Warn.\"\"\"
    for _ in range(3):
        warnings.warn("mind the\\ngap")
    warnings.warn("old", DeprecationWarning)
    if fail:
        raise ValueError("after warning")
    return tmi.ProbeResult({"a": 1})
"""


@pytest.mark.parametrize("fail", ["false", "true"])
def test_warnings_are_recorded_and_not_shown(compute, tmp_path, fail):
    toys.plugin(tmp_path, "stopping", STOPPING)
    content = toys.BASE.replace('"toy-probe"', f'"warning"\nfail = {fail}')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (result,), _ = compute(content, 'plugins = ["stopping.py", "toys.py"]')
    assert (result.stored is None) == (fail == "true")
    if fail == "false":
        assert result.stored.record["warnings"] == ["mind the gap", "old"]


def test_messages_take_one_line():
    assert module.message_of(ValueError("a\n  b")) == "ValueError: a b"
    assert module.message_of(ValueError()) == "ValueError"
    assert module.message_of(tmi.InputError("x")) == "x"
    assert module.message_of(tmi.InputError()) == "InputError"


CHANGING = """
import tmi


@tmi.hookimpl
def tmi_probes():
    return {"changing": "STEM:changing"}


def changing(network, data, *, how: str) -> tmi.ProbeResult:
    \"\"\"Change what others share.\"\"\"
    import torch

    layer = network.module[1]
    weight = layer.weight
    if how == "images":
        data.test.images.zero_()
    elif how == "gradient":
        data.test.images.requires_grad_(True)
    elif how == "new-images":
        data.train.images.mul_(2)
    elif how == "labels":
        data.test.labels[0] = 1
    elif how == "weights":
        with torch.no_grad():
            weight.zero_()
    elif how == "other-weights":
        layer.weight = type(weight)(weight.data * 0)
    elif how == "frozen":
        weight.requires_grad_(False)
    elif how == "mode":
        network.module.train()
    elif how == "hook":
        layer.register_forward_hook(lambda *_: None)
    elif how == "raise":
        data.test.images.zero_()
        raise ValueError("after that")
    elif how == "nothing":
        data.test.images.clone().requires_grad_(True).sum().backward()
        network.logits(data.train.images)
        weight.sum().backward()
    return tmi.ProbeResult({"a": 1})
"""


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("images", "data.test.images"), ("gradient", "data.test.images"), ("new-images", "data.train.images"),
        ("labels", "data.test.labels"), ("weights", "network's 1.weight"), ("other-weights", "network's 1.weight"),
        ("frozen", "network's 1.weight"), ("mode", "network's module"), ("hook", "network's 1"),
        ("raise", "ValueError: after that"), ("nothing", ""),
    ],
)  # fmt: skip
def test_a_probe_that_changes_what_others_share_fails_and_spoils_nothing(compute, tmp_path, how, what):
    toys.plugin(tmp_path, "changing", CHANGING)
    head = 'plugins = ["toys.py", "changing.py"]'
    content = toys.BASE.replace(
        "[probes.p]", f"[probes.a]\nuse = 'toy-probe'\n[probes.b]\nuse = 'changing'\nhow = '{how}'\n[probes.p]\nscale = 2"
    )
    results, calls = compute(content, head)
    assert 2 * results[0].stored.metrics["total"] == results[2].stored.metrics["total"]
    if how == "nothing":
        assert results[1].stored.metrics == {"a": 1.0}
    else:
        assert results[1].stored is None
        assert what in results[1].message
    assert calls == ["data 0", "net 0", "probe 0 1.0", "probe 0 2.0"], "made once, then read from the store"


def test_the_old_data_set_is_released_before_the_new_one_is_made(compute, monkeypatch):
    """Two data sets at once would double the memory."""
    import gc
    import weakref

    from tmi.plugins.registry import Registry

    alive: list[weakref.ref] = []
    original = Registry.generate

    def generate(*args, **kwargs):
        gc.collect()
        assert not [ref for ref in alive if ref() is not None]
        data = original(*args, **kwargs)
        alive.append(weakref.ref(data))
        return data

    monkeypatch.setattr(Registry, "generate", generate)
    results, _ = compute(toys.BASE, 'plugins = ["toys.py"]\nseeds = [0, 1, 2]')
    assert len(alive) == 3
    assert all(o.stored is not None for o in results)


def test_workers_of_one_run_may_make_the_same_product_for_their_jobs(tmp_path):
    """What is not kept is made for every job: that another worker makes it too is no attempt that ended a process."""
    toys.plugin(tmp_path)
    plan = make_plan(load_suite(toys.suite(tmp_path, toys.BASE + "sweep.scale = [1, 2, 3, 4]\n")))
    store = Store(tmp_path / "store")
    store.prepare()
    with ExitStack() as held:
        for planned in plan:
            executor = module.Executor(store, store.leases("the run"), keep="results")
            result = JobResult(planned, "probe")
            held.enter_context(executor._leased("dataset", planned.dataset_key, result))
            held.enter_context(executor._leased("network", planned.network_key, result))
        assert len(list((tmp_path / "store/leases").iterdir())) == 8
        again = executor._leased("dataset", plan[-1].dataset_key, result)
        held.enter_context(again)  # begun a second time, as after a worker that died and left its lease
        with pytest.raises(Failed, match="ended its worker process twice"):
            held.enter_context(executor._leased("dataset", plan[-1].dataset_key, result))


def test_a_network_that_a_probe_took_apart_is_made_again(compute, tmp_path):
    code = """
import tmi
@tmi.hookimpl
def tmi_probes():
    return {"vandal": "vandal:vandal"}
def vandal(network, data):
    network.module = None
    return tmi.ProbeResult({"a": 1})
"""
    toys.plugin(tmp_path, "vandal", code)
    text = toys.BASE.replace("[probes.p]", '[probes.a]\nuse = "vandal"\n[probes.p]')
    first, second = compute(text, 'plugins = ["toys.py", "vandal.py"]')[0]
    assert first.failed == "probe"
    assert second.stored is not None, second.message


# The user is told what cannot be kept, with the reason.

UNKEPT = '''
@tmi.hookimpl
def tmi_dataset_generators():
    return {"toy-data": "toys:data", "numbered": "toys:numbered", "coloured": "toys:coloured"}


@tmi.hookimpl
def tmi_network_builders():
    names = ("plain", "complex_buffer", "by_clock", "half", "kept", "described")
    return {"toy-net": "toys:linear"} | {name: f"toys:{name}" for name in names}


def numbered(*, seed: int) -> tmi.Dataset:
    made = data(seed=seed)
    return tmi.Dataset(made.task, made.train, made.test, notes={"by size": {4: "four"}})


def coloured(*, seed: int) -> tmi.Dataset:
    made = data(seed=seed)
    made.train.colour = "red"
    return made


def network(data, change=None, train=tmi.train_once):
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    if change is not None:
        change(module)

    def fit():
        called("fit")
        with torch.no_grad():
            module[1].weight.add_(1)
        return {"loss": [2.0, 1.0]}

    history = train(module, fit)
    return tmi.Network(module, ["1"], "trained", task=data.task, history=history)


def plain(data, *, seed: int) -> tmi.Network:
    return network(data, train=lambda module, fit: fit())


def complex_buffer(data, *, seed: int) -> tmi.Network:
    import torch

    return network(data, lambda module: module.register_buffer("wave", torch.zeros(3, dtype=torch.complex128)))


def by_clock(data, *, seed: int) -> tmi.Network:
    import time

    made = network(data)
    made.history["when"] = np.array([time.perf_counter()])
    return made


def half(data, *, seed: int) -> tmi.Network:
    import torch

    return network(data, lambda module: module.register_buffer("short", torch.zeros(3, dtype=torch.bfloat16)))


def kept(data, *, seed: int) -> tmi.Network:
    return network(data)


def described(data, *, seed: int) -> tmi.Network:
    """Nothing is trained."""
    import torch

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    module.register_buffer("wave", torch.zeros(3, dtype=torch.complex128))
    return tmi.Network(module, ["1"], "constructed", task=data.task)
'''
MADE_AGAIN = "every process that needs it makes it again"
TRAINED_AGAIN = "every process that needs it trains it again"


@pytest.fixture
def unkept(compute, tmp_path):
    """Compute with a data set or a network of `UNKEPT`, twice, with another probe each time; return remarks and calls."""
    toys.plugin(tmp_path, text=toys.TOYS + UNKEPT)

    def computed(content):
        remarks = []
        for scale in (1, 2):
            results, calls = compute(content + f"scale = {scale}\n")
            assert [o.message for o in results] == [""]
            remarks.append([remark for o in results for remark in o.remarks])
        return remarks, calls

    return computed


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("numbered", "notes['by size']: key 4 is not text"),
        ("coloured", "a Scenes has an attribute 'colour' that its class does not set"),
    ],
)
def test_a_data_set_that_cannot_be_kept(unkept, name, reason):
    remarks, calls = unkept(toys.BASE.replace("toy-data", name))
    assert remarks == [[f"data set {name}: is not kept ({reason}); {MADE_AGAIN}"]] * 2
    assert [call for call in calls if call.startswith("data")] == ["data 0", "data 0"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plain", "its builder trains without tmi.train_once: history = tmi.train_once(module, fit) keeps it"),
        ("complex_buffer", "weight 'wave': complex128 is not stored"),
        ("half", "weight 'short': NumPy has no bfloat16"),
        ("by_clock", "its builder makes another network with the weights: history is different"),
    ],
)
def test_training_that_cannot_be_kept(unkept, name, reason):
    remarks, calls = unkept(toys.BASE.replace("toy-net", name))
    assert remarks == [[f"network {name}: its training is not kept ({reason}); {TRAINED_AGAIN}"], []]
    assert calls.count("fit") == 2


@pytest.mark.parametrize(("name", "fits"), [("kept", 1), ("described", 0)])
def test_no_remark_on_what_is_kept(unkept, name, fits):
    remarks, calls = unkept(toys.BASE.replace("toy-net", name))
    assert remarks == [[], []]
    assert calls.count("fit") == fits


@pytest.mark.slow
def test_a_reason_reaches_the_user_once(tmp_path, monkeypatch):
    toys.plugin(tmp_path, text=toys.TOYS + UNKEPT)
    suite = toys.suite(tmp_path, TWO_PROBES.replace("toy-net", "plain"), head='plugins = ["toys.py"]\nseeds = [0, 1]')
    for workers in (1, 2):
        process = toys.command("run", str(suite), "--store", f"store{workers}", "--workers", str(workers), folder=tmp_path)
        assert process.returncode == 0, process.stderr
        assert process.stderr.count("its training is not kept") == 1
    warned = process.stderr.split("warning: ")[1]
    assert warned.startswith(
        "network plain: its training is not kept (its builder trains without tmi.train_once: history = tmi.train_once"
    )


def test_stored_weights_of_another_training_are_set_aside(compute, tmp_path):
    """One call fewer than there are weights for, and another shape: trained again, and kept."""
    from tmi.networks.train_once import Trained

    toys.plugin(tmp_path, text=toys.TOYS + UNKEPT)
    content = toys.BASE.replace("toy-net", "kept")
    (result,), _ = compute(content)
    store, planned = Store(tmp_path / "store"), result.planned
    training, record = store.load_network(planned.network_key)
    data, _ = store.load_dataset(planned.dataset_key)
    network = planned.registry.build("kept", data, seed=0)
    import numpy as np

    more = {**training.weights, "1.weight": np.zeros(3, np.float32)}
    other = {name: values[:, :1] for name, values in training.weights.items()}
    for scale, weights in enumerate((more, other), 2):
        store.write_network(planned.network_key, network, Trained(weights, training.history), record)
        (result,), calls = compute(content + f"scale = {scale}\n")
        assert result.message == ""
        (remark,) = result.remarks
        assert "is damaged" in remark
        assert "computed again" in remark
    assert calls.count("fit") == 4  # three runs, and once above
    restored, _ = store.load_network(planned.network_key)
    assert {name: values.tolist() for name, values in restored.weights.items()} == {
        name: values.tolist() for name, values in training.weights.items()
    }
