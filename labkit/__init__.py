"""The interactive distributed training lab: real runs and their speedup, from a notebook.

    cluster = labkit.launch(num_workers=4)
    dataset = labkit.preprocess(cluster=cluster)
    run = labkit.train("fruit", labkit.Plan(dp=2, pp=2), cluster, dataset=dataset)
    curve = labkit.sweep("fruit", cluster=cluster, devices=(1, 2, 4))

Importing labkit loads neither torch nor Dask; what needs them loads them.
"""

from labkit.cluster.cluster import Cluster
from labkit.cluster.launch import launch
from labkit.errors import LabError
from labkit.plan import Plan
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.preprocess import preprocess
from labkit.runs.curve import Curve
from labkit.runs.follow import follow
from labkit.runs.found import runs_on
from labkit.runs.record import RunRecord
from labkit.runs.run import Run
from labkit.runs.step_effect import step_effect
from labkit.runs.sweep import sweep
from labkit.train.train import train
from labkit.workload import Workload

__all__ = [
    "Cluster",
    "Curve",
    "Dataset",
    "LabError",
    "Plan",
    "Run",
    "RunRecord",
    "Workload",
    "follow",
    "launch",
    "preprocess",
    "runs_on",
    "step_effect",
    "sweep",
    "train",
]
