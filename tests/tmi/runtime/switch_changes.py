"""Statements that change one switch each, and the state of the process as the libraries' own public functions give it."""

from __future__ import annotations

import os
import sys

CHANGES = {
    "import os; os.chdir('/')": "the working folder changed (/)",
    "import torch; torch.set_grad_enabled(False)": "the gradient mode changed (off)",
    "import torch; torch.set_default_dtype(torch.float64)": "the default dtype changed (torch.float64)",
    "import torch; torch.set_default_device('meta')": "the default device changed (meta)",
    "import torch; torch.set_num_threads(3)": "torch's number of threads changed (3)",
    "import torch; torch.use_deterministic_algorithms(True)": "torch's deterministic algorithms changed (on)",
    "import torch; torch.set_float32_matmul_precision('medium')": "torch's precision of float32 changed",
    "import torch; torch.backends.cudnn.benchmark = True": "the settings of cuDNN changed (benchmark)",
    "import torch; torch.set_autocast_enabled('cpu', True)": "autocast changed (cpu)",
    "import torch; torch.autograd.set_detect_anomaly(True)": "torch's detection of anomalies changed (on)",
    "import torch; torch.set_flush_denormal(True)": "the rounding of tiny numbers to 0 changed (on)",
    "import torch; torch.set_printoptions(precision=2)": "torch's print options changed (precision)",
    "import torch; torch.nn.modules.module.register_module_forward_hook(lambda *a: None)": "torch's hooks of all modules",
    "import numba; numba.set_num_threads(1)": "numba's number of threads changed (1)",
    "import threadpoolctl; threadpoolctl.threadpool_limits(3, 'blas')": "the number of threads of BLAS changed (3)",
    "import os; os.environ['ZZ_NEW'] = '1'": "the environment changed (ZZ_NEW)",
    "import os; del os.environ['PATH']": "the environment changed (PATH)",
    "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()": "the environment changed (TZ)",
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)": "the signal handlers changed (SIGINT)",
    "import signal; signal.signal(signal.SIGUSR1, lambda *a: None)": "the signal handlers changed (SIGUSR1)",
    "import signal; signal.alarm(1000)": "the alarm timer changed (on)",
    "import warnings; warnings.simplefilter('ignore')": "the warning filters changed",
    "import warnings; warnings.filterwarnings('error', category=DeprecationWarning)": "the warning filters changed",
    "import warnings; warnings.showwarning = print": "warnings.showwarning changed",
    "import numpy; numpy.seterr(all='raise')": "NumPy's error state changed (divide, over, under …)",
    "import numpy; numpy.seterrcall(lambda *a: None)": "NumPy's error handler changed",
    "import numpy; numpy.set_printoptions(precision=2)": "NumPy's print options changed (precision)",
    "import scipy.special; scipy.special.seterr(all='raise')": "SciPy's error state changed",
    "import sklearn; sklearn.set_config(transform_output='pandas')": "scikit-learn's settings changed (transform_output)",
    "import h5py; h5py.get_config().track_order = True": "h5py's settings changed (track_order)",
    "import matplotlib; matplotlib.rcParams['font.size'] = 3": "matplotlib's settings changed (font.size)",
    "import matplotlib.pyplot; matplotlib.pyplot.ion()": "matplotlib's settings changed (interactive)",
    "import matplotlib; matplotlib.use('pdf')": "matplotlib's backend changed (pdf)",
    "import sys, io; sys.stdout = io.StringIO()": "the streams of sys changed (stdout)",
    "import sys; sys.excepthook = print": "the hooks of sys changed (excepthook)",
    "import sys; sys.argv = ['zz']": "sys.argv changed",
    "import sys; sys.setrecursionlimit(5000)": "the recursion limit changed (5000)",
    "import gc; gc.disable()": "the garbage collector changed (off)",
    "import os; os.umask(0o007)": "the umask changed (007)",
    "import locale; locale.setlocale(locale.LC_ALL, 'POSIX')": "the locale changed",
    "import decimal; decimal.getcontext().prec = 5": "the decimal context changed",
    "import logging; logging.disable(logging.CRITICAL)": "logging.disable changed (50)",
    "import socket; socket.setdefaulttimeout(3)": "the default timeout of sockets changed (3.0)",
    "import multiprocessing as mp; mp.set_start_method('spawn', force=True)": "the start method of processes changed (spawn)",
}
"""For each statement what a warning calls the change."""


def state() -> dict[str, object]:
    """Return the switches as public functions give them, independently of the guard."""
    import decimal
    import gc
    import locale
    import logging
    import multiprocessing as mp
    import signal
    import socket
    import time
    import warnings

    import h5py
    import matplotlib as mpl
    import numba
    import numpy as np
    import scipy.special
    import sklearn
    import threadpoolctl
    import torch

    umask = os.umask(0)
    os.umask(umask)
    return {
        "folder": os.getcwd(),  # noqa: PTH109
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "torch threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "matmul": torch.backends.mkldnn.matmul.fp32_precision,
        "cudnn": torch.backends.cudnn.benchmark,
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomaly": torch.is_anomaly_enabled(),
        "denormal": float(torch.tensor([1e-310], dtype=torch.float64, device="cpu") * 1) == 0,
        "printed": repr(torch.tensor([1 / 3], dtype=torch.float64, device="cpu")),
        "hooks": len(torch.nn.modules.module._global_forward_hooks),
        "numba": numba.get_num_threads(),
        "blas": [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"],
        "environment": dict(os.environ),
        "time zone": time.tzname,
        "handlers": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)},
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 500,
        "filters": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "errors": np.geterr(),
        "error handler": np.geterrcall(),
        "print options": np.get_printoptions(),
        "special": scipy.special.geterr(),
        "sklearn": sklearn.get_config(),
        "h5py": h5py.get_config().track_order,
        "matplotlib": {name: mpl.rcParams[name] for name in ("font.size", "interactive")},
        "backend": mpl.get_backend(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "excepthook": sys.excepthook,
        "argv": list(sys.argv),
        "recursion": sys.getrecursionlimit(),
        "gc": gc.isenabled(),
        "umask": umask,
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": decimal.getcontext().prec,
        "logging": logging.root.manager.disable,
        "socket": socket.getdefaulttimeout(),
        "start method": mp.get_start_method(),
    }
