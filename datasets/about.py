"""What a data set says of itself, for model cards, messages, help texts and lists. It starts no framework."""

import dataclasses

OFFICIAL = "official"  # --data_source: download from where the data set is published

# limits that several data sets share
RENDERED = "It has seen rendered pictures alone. Photographs are another world: nothing here says how it does on them."
SMALL_GREY = "Small grey pictures of one centred thing."


@dataclasses.dataclass(frozen=True)
class About:
    """Facts about a data set that its records do not hold.

    Attributes:
      licence: whose the data is and what it may be used for.
      limits: a sentence on what a score on it does not tell; empty: nothing beyond the task's own limits.
      source: what --data_source must be, after "give"; None: the data is made here or downloaded by TFDS.
      downloadable: whether --data_source=official downloads it.
      made: what preparing it takes where there is no source, for the line that is told then.
      validation_is_test: whether `val` is the published test split.
    """

    licence: str
    limits: str = ""
    source: str | None = None
    downloadable: bool = False
    made: str = "drawing its pictures"
    validation_is_test: bool = False
