"""What a run remembers of the data set that it saw. Light: reading it loads no framework."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A prepared data set.

    name: with configuration and version; splits: examples of each; fingerprint: of its records; metadata: its own.
    """

    name: str
    splits: dict[str, int] = dataclasses.field(default_factory=dict)
    fingerprint: str = ""
    metadata: dict = dataclasses.field(default_factory=dict)
