"""The configuration of a run, which `run.json` holds: what was asked for, on which data, where and with what."""

import dataclasses

from kzoo import UserError
from kzoo.data.description import DataSet
from kzoo.training import validation
from kzoo.training.validation import FLAG, NOTHING, NUMBER, OBJECT, PAIRS, TEXT, TEXTS, list_of, table_of, whole

KIND = "a run"
COUNT = whole(0, 10**9)
SIDE = whole(1, 2**15)  # of a picture in pixels
PARAMETERS = 10**12
NUMBERS = list_of(NUMBER)

# What train.py's flags are, once resolved; a run of another version may lack some and have others.
FLAGS = {
    **dict.fromkeys(("task", "arch", "dataset", "train_split", "val_split", "schedule", "optimizer"), TEXT),
    **dict.fromkeys(
        ("precision", "data_dir", "data_source", "encoder", "encoder_weights", "init", "norm", "normalise"), TEXT
    ),
    **dict.fromkeys(("loss", "class_weights", "jit", "color_pca_of", "out"), TEXT),
    **dict.fromkeys(("bias", "dropout", "lr", "warmup", "weight_decay", "l2", "ema", "augment", "zoom"), NUMBER),
    **dict.fromkeys(("rotation", "translate", "crop", "flip", "color_pca", "tol", "cluster_lr"), NUMBER),
    **dict.fromkeys(("batch_size", "epochs", "lr_base_batch", "patience", "update_interval"), whole(1, 10**9)),
    "rounds": COUNT,
    "seed": whole(0, 2**32 - 1),
    "size": TEXT | SIDE,
    **dict.fromkeys(("find_lr", "cache", "resume"), FLAG),
    **dict.fromkeys(("set", "loss_set", "loss_weights"), TEXTS),
    **dict.fromkeys(("milestones", "border"), list_of(TEXT | NUMBER)),
}
NEVER_NOTHING = ("task", "arch", "dataset", "size")
FLAGS = {name: check if name in NEVER_NOTHING else check | NOTHING for name, check in FLAGS.items()}

DATASET = {"name": TEXT, "splits": table_of(COUNT), "fingerprint": TEXT, "metadata": OBJECT}
METADATA = {  # of a data set, what the answers of a network are made with
    **dict.fromkeys(("joints", "classes", "labels", "pose"), TEXTS),
    **dict.fromkeys(("flip_joints", "flip_classes", "flip_labels", "flip_pose"), PAIRS),
}
COLOURS = {"mean": NUMBERS, "covariance": list_of(NUMBERS), "pixels": whole()}
ENTRIES = {
    "names": TEXTS,
    "parameters": whole(0, PARAMETERS),
    "score": TEXT,
    "mode": validation.Check("min or max", lambda value: value in ("min", "max")),
    "precision": TEXT | NOTHING,
    "frames": list_of(whole(1, 10**6), most=1),
    "colours": OBJECT | NOTHING,
    "fitted": OBJECT | NOTHING,
    "class_weights": table_of(NUMBER) | NOTHING,
    "reads": TEXTS,
    "trainable_parameters": whole(0, PARAMETERS) | NOTHING,
    "versions": table_of(TEXT) | NOTHING,
    **dict.fromkeys(("device", "commit", "started"), TEXT | NOTHING),
}


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
        validation.require(path, value["flags"], FLAGS, kind=KIND, within="flags.")
        validation.require(path, value, ENTRIES, kind=KIND)
        validation.require(path, dataset, DATASET, kind=KIND, within="dataset.")
        validation.require(path, dataset.get("metadata", {}), METADATA, kind=KIND, within="dataset.metadata.")
        if value.get("colours"):
            validation.require(path, value["colours"], COLOURS, kind=KIND, within="colours.")

        own = {field.name for field in dataclasses.fields(cls)} & set(value)
        described = {field.name for field in dataclasses.fields(DataSet)} & set(dataset)
        known = {name: dataset[name] for name in described}
        tuples = {name: tuple(value.get(name, ())) for name in ("frames", "reads")}
        return cls(**{**{name: value[name] for name in own}, "dataset": DataSet(**known), **tuples})

    def to_json(self) -> dict:
        """What is not there is left out."""
        found = dataclasses.asdict(self)
        optional = {field.name for field in dataclasses.fields(self) if field.default in (None, ())}
        return {name: value for name, value in found.items() if name not in optional or value not in (None, (), {})}
