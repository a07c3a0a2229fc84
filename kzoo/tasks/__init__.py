"""The zoo at a glance: what kzoo is able to do, one file per task.

A model names its outputs; a task is a table from output name to (label, losses, metrics), with the architectures that
emit these outputs, their recipes, and what scoring, figures and exports must know. A new architecture is one file in
`kzoo/models/` and one row in `archs` here; a new task is one file here and one row in TASKS.
"""

from kzoo.tasks.base import Output, Task
from kzoo.tasks.cluster import CLUSTER
from kzoo.tasks.loc import LOC
from kzoo.tasks.pose import POSE
from kzoo.tasks.pose3d import POSE3D
from kzoo.tasks.seg import SEG

__all__ = ["CLUSTER", "LOC", "POSE", "POSE3D", "SEG", "TASKS", "Output", "Task"]

TASKS: dict[str, Task] = {"pose": POSE, "seg": SEG, "pose3d": POSE3D, "loc": LOC, "cluster": CLUSTER}
