"""Networks of other runs that a network is made of: the keywords that name them, and what becomes of each.

`with_networks` of `kzoo.runs` opens the runs.
"""

from kzoo import UserError
from kzoo.runs.file_names import PARTS


def paths_of(options: dict) -> dict[str, str]:
    """Keywords that name runs within a network."""
    return {part: options[part] for part in PARTS if isinstance(options.get(part), str) and options[part]}


def joints_network(run, size):
    """See `kzoo.nn.lifting.pose_network`; it keeps the size that it was trained at."""
    from kzoo.nn import decoding, lifting

    if decoding.OWN not in run.task.outputs:  # not of 2-D pose
        raise UserError(f"pose_run must be a run of task=pose, got {run.folder}, a run of task={run.flags['task']}")
    return lifting.pose_network(run.model(), run.names)


def embedding_network(run, size):
    """See `kzoo.nn.embeddings.trunk`, at the size of the network around it."""
    from kzoo.nn import embeddings

    shape = tuple(size[-2:])
    network = run.model(None if shape == run.shape else shape)
    return embeddings.trunk(network, run.task.main_of(network.output_names))


MADE = {"pose_run": joints_network, "features": embedding_network}  # keyword -> (run, size of the input) -> network
