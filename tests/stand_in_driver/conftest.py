"""A stand-in driver library, compiled once a session, and code that runs on top of it."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

SOURCES = Path(__file__).parent / "driver"
COMPILE_S = 60.0
RUN_S = 120.0

CHILD = """
import pickle, sys
if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        function, args = pickle.load(file)
    result = function(*args)
    with open(sys.argv[2], "wb") as file:
        pickle.dump(result, file)
"""


@pytest.fixture(scope="session")
def driver_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in driver under both names that a real one has.

    Without a compiler the tests fail: a skip would hide a path that nobody has tested.
    """
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        pytest.fail("the stand-in driver needs a C compiler: apt-get install gcc")
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    sources = sorted(str(source) for source in SOURCES.glob("*.c"))
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", f"-Wl,-soname,{library.name}"]
    done = subprocess.run(
        [compiler, *flags, "-o", str(library), *sources, "-ldl", "-lpthread"],
        capture_output=True, text=True, timeout=COMPILE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "libcuda.so.1").symlink_to(library.name)
    return folder


@pytest.fixture(scope="session")
def on_stand_in(
    driver_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Calls a function in a process of its own whose driver is the stand-in; gives its result.

    ``on_stand_in(function, *args, gpus=2, instances=0, visible=None, load=None)``: instances of
    each GPU, what ``CUDA_VISIBLE_DEVICES`` says, and by GPU ``"UTILISATION_PERCENT USED_BYTES"``.
    """

    def call(
        function: Callable[..., Any],
        *args: Any,
        gpus: int = 2,
        instances: int = 0,
        visible: str | None = None,
        load: Mapping[int, str] | None = None,
    ) -> Any:
        folder = tmp_path_factory.mktemp("stand_in")
        state = folder / "state"
        state.mkdir()
        for gpu, text in (load or {}).items():
            (state / f"{gpu}.load").write_text(text)
        environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        environment |= {
            "LD_LIBRARY_PATH": str(driver_folder),
            "STAND_IN_GPUS": str(gpus),
            "STAND_IN_INSTANCES": str(instances),
            "STAND_IN_STATE": str(state),
            **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}),
        }
        call_file, result_file = folder / "call.pickle", folder / "result.pickle"
        cloudpickle.register_pickle_by_value(sys.modules[function.__module__])
        call_file.write_bytes(cloudpickle.dumps((function, args)))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CHILD, str(call_file), str(result_file)],
            env=environment, capture_output=True, text=True, timeout=RUN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return pickle.loads(result_file.read_bytes())

    return call
