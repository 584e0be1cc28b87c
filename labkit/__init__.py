"""The interactive distributed training lab: real runs and their speedup, from a notebook."""

from __future__ import annotations

from labkit.cluster.cluster import Cluster
from labkit.cluster.launch import launch
from labkit.errors import LabError
from labkit.plan import Plan
