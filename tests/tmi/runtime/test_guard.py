"""Whatever a call leaves changed is put back and named: every switch, one at a time, in a process of its own for each library."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch

from tests.tmi.runtime.switch_changes import CHANGES, state
from tmi.runtime import guard as guards
from tmi.runtime.guard import Guard, Guarded, SwitchWarning, guarded
from tmi.runtime.time_limit import TimedOut, time_limit

torch.use_deterministic_algorithms(False)  # imports libraries, which set variables


def change(statement):
    exec(statement, {})


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("fails", [False, True])
def test_every_change_is_put_back_and_named(statement, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = state()

    def left():
        change(statement)
        assert state() != before  # the statement does change something
        if fails:
            raise KeyError("of the call")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = state()
        try:
            Guarded(left, "probe 'p' of plug-in q")()
        except KeyError as error:
            assert (fails, error.args) == (True, ("of the call",))  # noqa: PT017
        assert state() == before
    texts = [str(w.message) for w in caught if w.category is SwitchWarning]
    assert len(texts) == 1, texts
    assert texts[0].startswith(f"probe 'p' of plug-in q left {CHANGES[statement]}"), texts
    assert ", which was put back; " in texts[0]


@pytest.mark.parametrize("statement", CHANGES)
def test_what_the_call_itself_puts_back_is_not_named(statement, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def tidy():
        with warnings.catch_warnings(), Guard("inner", report=lambda text: None):
            change(statement)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Guarded(tidy, "outer")()
    assert [str(w.message) for w in caught if w.category is SwitchWarning] == []


def test_the_innermost_call_is_named():
    inner = Guarded(lambda: torch.set_grad_enabled(False), "inner")
    with pytest.warns(SwitchWarning) as caught:
        Guarded(lambda: inner(), "outer")()
    assert [str(w.message) for w in caught] == [
        "inner left the gradient mode changed (off), which was put back; use `with torch.no_grad():`"
    ]


def test_a_function_that_is_called_often():
    """After one full check only quick switches are looked at; what is missed then is found by the guard around it."""
    calls = iter([lambda: None, lambda: torch.set_grad_enabled(False), lambda: None, lambda: os.chdir("/")])
    often = Guarded(lambda: next(calls)(), "measure 'm'", often=True)

    def probe():
        often()
        for _ in range(2):
            often()
        assert torch.is_grad_enabled()
        often()

    folder = os.getcwd()  # noqa: PTH109
    with pytest.warns(SwitchWarning) as caught:
        Guarded(probe, "probe 'p'")()
    texts = [str(w.message) for w in caught]
    assert texts[0].startswith("measure 'm' left the gradient mode changed")
    assert "left the working folder changed (/)" in texts[1]
    assert os.getcwd() == folder  # noqa: PTH109


def test_a_change_that_a_quick_guard_misses_is_the_callers():
    calls = iter([lambda: None, lambda: os.chdir("/")])
    often = Guarded(lambda: next(calls)(), "measure 'm'", often=True)
    folder = os.getcwd()  # noqa: PTH109
    with pytest.warns(SwitchWarning, match=r"^probe 'p', or a method or measure that it called, left the working folder"):
        Guarded(lambda: (often(), often()), "probe 'p'")()
    assert os.getcwd() == folder  # noqa: PTH109


def test_what_cannot_be_put_back_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call():
        os.chdir(tmp_path)
        folder.rmdir()

    with pytest.warns(SwitchWarning, match=r"the working folder changed .*, and it could not be put back \(FileNotFoundError"):
        Guarded(call, "x")()


def test_an_exception_passes_where_warnings_are_errors():
    def call():
        torch.set_grad_enabled(False)
        raise KeyError("mine")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError, match="mine"):
            Guarded(call, "x")()
        with pytest.raises(SwitchWarning):
            Guarded(lambda: torch.set_grad_enabled(False), "x")()
    assert torch.is_grad_enabled()


def test_a_time_limit_and_its_timer_are_kept():
    def call():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)

    with pytest.warns(SwitchWarning) as caught, pytest.raises(TimedOut), time_limit(0.3):  # noqa: PT012, PT031
        Guarded(call, "x")()
        while True:
            pass
    assert {str(w.message).split(" changed")[0] for w in caught} == {"x left the signal handlers", "x left the alarm timer"}


def function(a, *, b: int = 3) -> int:
    """Add."""
    return a + b


function.tmi_measure = "declared"
function.tmi_external = lambda *, b=3: torch.set_grad_enabled(False)


class Callable:
    tmi_method = "of the class"

    def __call__(self, a, *, b: int = 3):
        """Add."""
        return a + b

    __hash__ = None


class TestGuarded:
    @pytest.mark.parametrize("target", [function, functools.partial(function, b=4), Callable(), max])
    def test_is_like_its_function(self, target):
        result = guarded(target, "x")
        assert result(3, b=1) == 4 if target is not max else result(3, 1) == 3
        assert inspect.getdoc(result) == inspect.getdoc(target)
        with_signature = target if target is not max else None
        if with_signature is not None:
            assert inspect.signature(result) == inspect.signature(target)
        for name in ("tmi_measure", "tmi_method", "__name__", "__code__"):
            assert getattr(result, name, None) == getattr(target, name, None)

    def test_is_equal_to_it_and_pickles(self):
        result = Guarded(function, "x")
        assert result == function == result
        assert result == Guarded(function, "y")
        assert hash(result) == hash(function)
        again = pickle.loads(pickle.dumps(result))
        assert again == result
        assert again(1) == 4

    def test_external_is_guarded(self):
        with pytest.warns(SwitchWarning, match=r"^tmi.external of probe 'p' left the gradient mode"):
            Guarded(function, "probe 'p'").tmi_external()

    def test_a_generator_runs_inside(self):
        def generate():
            torch.set_grad_enabled(False)
            yield 1

        with pytest.warns(SwitchWarning, match="^x left the gradient mode"):
            assert Guarded(generate, "x")() == [1]
        assert torch.is_grad_enabled()


LIBRARIES = ["torch", "numba", "sklearn.linear_model", "scipy.stats", "matplotlib.pyplot", "captum.attr", "pandas", "h5py"]


IN_A_CALL = {
    "warnings.simplefilter('ignore'); os.environ['ZZ'] = '1'": ["the environment changed (ZZ)", "the warning filters"],
    "import torch; torch.set_grad_enabled(False)": ["the gradient mode changed (off)"],
    "import matplotlib; matplotlib.rcParams['font.size'] = 3": ["matplotlib's settings changed (font.size)"],
    "import matplotlib; matplotlib.use('pdf')": ["matplotlib's backend changed (pdf)"],
    "import threadpoolctl; threadpoolctl.threadpool_limits(7, 'blas')": ["the number of threads of BLAS"],
}


@pytest.mark.parametrize(
    ("libraries", "more", "named"),
    [
        (LIBRARIES, "", []),
        (["sklearn.linear_model", "torch"], "; ".join(IN_A_CALL), [name for names in IN_A_CALL.values() for name in names]),
        *(
            pytest.param([library], more, named, marks=pytest.mark.slow)
            for library in LIBRARIES
            for more, named in {"": [], **IN_A_CALL}.items()
        ),
    ],
)
@pytest.mark.slow
def test_imports_inside_a_call(libraries, more, named):
    """What a library sets when it is imported stays, and is not the plug-in's; its switches start from its own defaults."""
    script = f"""
        import os, warnings
        from tmi.runtime.guard import Guarded
        def call():
            for name in {libraries}:
                __import__(name)
            {more}
        texts = []
        warnings.showwarning = lambda message, *rest, **more: texts.append(str(message))
        Guarded(call, "x")()
        Guarded(lambda: None, "y")()
        print(texts)
        import sys
        if "sklearn" in sys.modules:
            assert os.environ["KMP_INIT_AT_FORK"] == "FALSE"
        assert "ZZ" not in os.environ
        assert [f for f in warnings.filters if f[0] == "ignore" and f[1:3] == (None, Warning)] == []
        assert "torch" not in sys.modules or any("TracerWarning" in str(f) for f in warnings.filters)
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(script)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    texts = eval(done.stdout)
    assert len(texts) == len(named), texts
    for name in named:
        assert any(text.startswith(f"x left {name}") for text in texts), texts


@pytest.mark.slow
def test_threads_that_numba_changes_when_it_starts_are_put_back_without_a_name():
    script = """
        import torch, numba, warnings
        from tmi.runtime.guard import Guarded
        warnings.simplefilter("error")
        torch.set_num_threads(3)
        Guarded(lambda: numba.set_num_threads(numba.get_num_threads()), "x")()
        assert torch.get_num_threads() == 3
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_plugin_package_is_no_library(tmp_path, monkeypatch):
    """Of a module in a folder of installed packages, only that of a plug-in is named for what it sets when it is imported."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(guards, "plugin_packages", {"ZZ_OURS"})
    for name in ("ZZ_OURS", "ZZ_LIBRARY"):
        (site / f"{name}.py").write_text(f"import os\nos.environ['{name}'] = '1'")
        monkeypatch.setenv(name, "0")
    with pytest.warns(SwitchWarning) as caught:
        Guarded(lambda: [__import__("ZZ_LIBRARY"), __import__("ZZ_OURS")], "x")()
    assert [str(w.message).partition(", which")[0] for w in caught] == ["x left the environment changed (ZZ_OURS)"]
    assert (os.environ["ZZ_OURS"], os.environ["ZZ_LIBRARY"]) == ("0", "1")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("in_call", [True, False])
def test_a_forked_child_ends_at_the_first_sigterm(in_call):
    """The handlers of a run are not for the processes that a plug-in forks; outside of a call they are inherited, as ever."""

    def fork_and_end():
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, b"x")
            import time

            time.sleep(3)
            os._exit(7)
        os.read(reading, 1)
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def swallow(number, frame):
        os._exit(5)

    previous = {number: signal.signal(number, swallow) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert (Guarded(fork_and_end, "x") if in_call else fork_and_end)() == (-signal.SIGTERM if in_call else 5)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def test_a_call_is_guarded_in_microseconds():
    import timeit

    call, often = Guarded(lambda: np.pi, "x"), Guarded(lambda: np.pi, "x", often=True)
    assert min(timeit.repeat(call, number=100, repeat=20)) / 100 < 500e-6
    with Guard("outer"):
        assert min(timeit.repeat(often, number=100, repeat=20)) / 100 < 30e-6
