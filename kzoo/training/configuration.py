"""The configuration of a run, which `run.json` holds: what was asked for, on which data, where and with what."""

import dataclasses

from kzoo import UserError
from kzoo.data.description import DataSet


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What a run is.

    flags: of train.py, resolved; names: of the units of the scored output's last axis; dataset: see `DataSet`;
    parameters: of the network; score: column of the history that picks the best epoch, and mode: "min" or "max";
    precision: dtype policy of the training; frames: (T,) of networks that read clips; reads: features of the data set
    that the network reads; colours, fitted and
    class_weights: what was measured on the training split; the others: where the run came from.
    """

    flags: dict
    names: list[str]
    dataset: DataSet
    parameters: int
    score: str = ""
    mode: str = "max"
    precision: str | None = None
    frames: tuple[int, ...] = ()
    colours: dict | None = None
    fitted: dict | None = None
    class_weights: dict[str, float] | None = None
    reads: tuple[str, ...] = ()
    trainable_parameters: int | None = None
    versions: dict[str, str] | None = None
    device: str | None = None
    commit: str | None = None
    started: str | None = None

    @classmethod
    def from_json(cls, value, path) -> "Configuration":
        """Of the content of the file at `path`; runs of older versions lack newer entries.

        Raises:
            UserError: it is not that of a run.
        """
        needed = ("flags", "names", "dataset", "parameters")
        if not isinstance(value, dict) or any(name not in value for name in needed):
            raise UserError(f"{path} is not that of a run: it must hold an object with {', '.join(needed)}")
        dataset = value["dataset"]
        if not isinstance(value["flags"], dict) or not isinstance(dataset, dict) or "name" not in dataset:
            raise UserError(f"{path} is not that of a run: flags and dataset must be objects, the latter with a name")
        for name in ("names", "frames", "reads"):
            if not isinstance(value.get(name, []), list | tuple):
                raise UserError(f"{path} is not that of a run: {name} must be a list, got {value[name]!r}")
        own = {field.name for field in dataclasses.fields(cls)} & set(value)
        known = {name: dataset[name] for name in ("name", "splits", "fingerprint", "metadata") if name in dataset}
        tuples = {name: tuple(value.get(name, ())) for name in ("frames", "reads")}
        return cls(**{**{name: value[name] for name in own}, "dataset": DataSet(**known), **tuples})

    def to_json(self) -> dict:
        """What is not there is left out."""
        found = dataclasses.asdict(self)
        optional = {field.name for field in dataclasses.fields(self) if field.default in (None, ())}
        return {name: value for name, value in found.items() if name not in optional or value not in (None, (), {})}
