"""Bad input is one clear line and status 2, and nothing is made."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labkit.cli.program import cli
from labkit.errors import LabError

Labkit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "train --workload fruit --dp 4 --pp 4 --devices 8",
            "dp(4) * pp(4) * tp(1) = 16 but 8 devices are available; choose degrees whose product "
            "is at most 8",
        ),
        ("train --workload fruit --dp 4096 --tp 8", "devices are available; choose degrees"),
        ("train --workload imagenet", "workload 'imagenet' is unknown; choose from fruit"),
        ("train --workload fruit --emulate abacus", "abacus"),
        ("train --workload fruit --dp two", "'two' is not a valid integer"),
        ("train", "nothing to train; give --workload NAME"),
        ("sweep --workload fruit --devices 1000", "devices are available"),
        ("train --workload fruit --pp 32 --address tcp://127.0.0.1:9", "pp(32) stages but"),
        ("preprocess --source no/such/folder --out shards", "no/such/folder"),
        ("demo --out file", "'file' cannot be written"),
        ("open no_such_notebook.ipynb", "no_such_notebook.ipynb"),
        ("train --workload fruit --address tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("runs list --runs file", "'file' is a file; choose the folder of the runs"),
        ("runs show 2026", "run '2026' is unknown: there is none in runs"),
        ("runs fly", "No such command 'fly'"),
        ("fly", "No such command 'fly'"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_two(
    labkit: Labkit, tmp_path: Path, command: str, message: str
) -> None:
    (tmp_path / "file").touch()
    done = labkit(command, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --workload fruit --pp 32", "pp(32) stages but workload 'fruit' has"),
        ("train --workload fruit --pp 2 --microbatches 7", "microbatches(7) does not divide"),
        ("train --workload fruit --schedule zigzag", "schedule='zigzag' is not available"),
        ("train --workload fruit --pp 2 --cuts 2,4", "cuts=(2, 4) make 3 stages but pp(2)"),
        ("train --workload fruit --cuts 2;4", "is not a list of numbers such as 1,2,4"),
        ("train --workload fruit --dp 2 --bucket-mb 0", "bucket_mb=0.0 holds no gradient"),
        ("train --workload fruit --dp 2 --compression zip", "compression='zip' is not available"),
        ("train --workload fruit --precision int8", "precision='int8'; choose float32"),
        ("train --workload fruit --learning-rate 0", "learning_rate=0.0; choose a value above 0"),
        ("train --workload fruit --time-scale 2", "time_scale=2.0 is for emulated runs"),
        (
            "train --workload fruit --dp 2 --sync async_parameter_server --emulate demo",
            "this plan cannot be emulated: ",
        ),
        ("train --workload fruit --steps 0", "steps=0 is not a length"),
        ("train --workload fruit --steps 5 --epochs 1", "both given; choose one"),
        ("sweep --workload fruit --strategies magic", "strategy 'magic' is unknown"),
        ("sweep --workload fruit --strategies data+sync=smoke", "sync='smoke' is not available"),
        ("sweep --workload fruit --devices 1;2", "is not a list of numbers such as 1,2,4"),
        ("sweep --workload fruit --repeats 0", "repeats=0 is not a count"),
        ("sweep --workload fruit --steps 2", "steps=2 leaves nothing"),
        ("sweep --workload fruit --out file", "'file' cannot be written"),
        ("sweep --workload fruit --runs file", "'file' cannot be written"),
        ("sweep --workload fruit --emulate abacus", "abacus"),
        ("train --workload fruit --runs file", "'file' cannot be written"),
        ("train --workload fruit --seed -1", "seed=-1; choose a whole number"),
        ("train --workload fruit --queue-s -1", "queue_s=-1.0 is no time to wait; choose 0 to"),
        ("sweep --workload fruit --queue-s 1e9", "queue_s=1000000000.0 is no time to wait"),
        ("train --workload fruit --security tls.pem", "--security tls.pem is for a running"),
        (
            "sweep --workload fruit --trusted-network 10.0.0.0/8",
            "--trusted-network 10.0.0.0/8 is for a running cluster; give its --address",
        ),
        (
            "train --workload fruit --devices 2 --address tcp://127.0.0.1:9",
            "--devices 2 is for workers that are launched here; leave it out, or the --address",
        ),
        (
            "preprocess --spec fruit --workers 4 --address tcp://127.0.0.1:9 --out out",
            "--workers 4 is for workers that are launched here; leave it out, or the --address",
        ),
        ("runs live", "Missing option '--address'"),
        ("runs live --address tcp://127.0.0.1", "'tcp://127.0.0.1' is no address (missing port"),
        ("train --workload fruit --address foo", "'foo' is no address (missing port number"),
        ("train --workload fruit --address smoke://host:1", "is no address (unknown address"),
        ("train --workload fruit --address 10..0.1:8786", "'10..0.1:8786' is no address (enc"),
        ("train --workload fruit --address tcp://a:99999", "(there is no port 99999); give"),
        ("sweep --workload fruit --address :8786", "':8786' is no address (it names no host)"),
        ("demo --devices 0", "devices=0"),
        ("demo --emulate abacus", "abacus"),
        ("preprocess --out out", "no source is given; add --source PATH, or --spec fruit"),
        ("preprocess --source file", "Missing option '--out'"),
        ("preprocess --source file --out out", "file"),
        ("preprocess --spec pears --out out", "specification 'pears' is unknown; choose from"),
        ("preprocess --spec fruit --out s3://bucket/out", "is a URL; give a path"),
        ("preprocess --spec fruit --out file", "file is a file; choose a folder"),
        ("preprocess --spec fruit --out .", "holds files that are no dataset; choose an empty"),
        ("preprocess --spec fruit --out file/out", "cannot be written (file is a file)"),
        ("preprocess --spec fruit --label x --out out", "names label and key itself"),
        ("preprocess --spec fruit --steps washing --out out", "steps 'washing'; choose from"),
        ("preprocess --spec fruit --set fill=mean --out out", "is not STEP.NAME=VALUE"),
        ("preprocess --spec fruit --set washing.hot=1 --out out", "step 'washing' has no settings"),
        (
            "preprocess --spec fruit --set cleaning.hot=1 --out out",
            "[cleaning] has no setting 'hot'",
        ),
        ("preprocess --spec fruit --set cleaning.fill=tea --out out", "tea"),
        ("preprocess --spec fruit --rows 0 --out out", "rows=0 is not a count"),
        ("runs compare", "Missing argument 'RUN...'"),
        ("runs compare sweep-1 2026", "runs and sweeps cannot be compared"),
        ("runs export 2026 --format pdf --out out", "format='pdf' is unknown; choose csv or"),
        ("runs export 2026", "Missing option '--out'"),
        ("runs delete ../file --yes", "run '../file' is unknown"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    """The same errors without a process for each: ``main`` turns them into a line and status 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    name, *arguments = command.split()
    result = CliRunner().invoke(cli.commands[name], arguments, standalone_mode=False)
    error = result.exception
    assert isinstance(error, click.ClickException) or (
        isinstance(error, LabError) and isinstance(error, ValueError)
    ), repr(error)
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    assert message in text
    assert len(text.splitlines()) == 1
    assert (result.stdout, result.stderr) == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
