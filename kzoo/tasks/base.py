"""What a task is: a table from output name to (label, losses, metrics), and what each part of kzoo must know beside it.

Every group is read by one part: `Input` by the flags and the data pipeline, `Evaluator` by the scoring, `Figures` by
what draws, `Answers` by export, `kzoo.predict`, `kzoo.explain` and the model card.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kzoo.data import augment
from kzoo.nn import decoding
from kzoo.tasks.explained import Explained

COMMON = {"schedule": "cosine", "optimizer": "adam", "weight_decay": 1e-4}  # of every recipe
MASKS = "masks"  # folder of the masks of `Results`
ROUND_FLAGS = ("rounds", "update_interval", "tol", "cluster_lr")  # of train.py, for training without labels


@dataclass(frozen=True)
class Output:
    """How one named model output is trained and scored."""

    label: str  # feature of the data set it is compared with
    # --loss name -> (**keywords of --loss_set) -> keras.losses.Loss; the first is the default
    losses: Mapping[str, Callable]
    metrics: tuple[Callable, ...] = ()  # factories n -> metric: a metric has state, so every compile gets new ones
    weight: float = 1.0  # --loss_weights=<output>=<number> overrides it
    # (answer for the mirrored picture, permutation) -> answer for the picture; None: not averaged, and dropped where
    # answers are
    unflip: Callable | None = decoding.unflip_maps
    activate: Callable = lambda outputs: outputs  # applied before answers are averaged
    follows: Mapping[str, str] = field(default_factory=dict)  # keyword of the loss -> output whose weight it is
    # the output whose loss trains this one too; where a network emits it, this one has no loss of its own
    trained_by: str = ""
    served: bool = True  # part of an export


@dataclass(frozen=True)
class Example:
    """What a network of the task is built for where no data set says it."""

    units: int  # `num_outputs`, as in the task's built-in data set
    size: tuple[int, int] = (64, 64)  # height and width of small pictures
    frames: tuple[int, ...] = ()  # of a clip: (T,); () where networks read pictures
    frames_of: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # arch -> frames, where it has its own

    def frames_for(self, arch: str) -> tuple[int, ...]:
        return self.frames_of.get(arch, self.frames)


@dataclass(frozen=True)
class Input:
    """What the flags and the data pipeline must know."""

    geometric: augment.Geometric = augment.Geometric()  # ranges at --augment=1
    photometric: augment.Photometric = augment.Photometric()
    # augmentation may roll the camera, and not move, scale or mirror the picture: no pose would go with that
    turns_only: bool = False
    square: bool = False  # its labels are scored as fractions of a square
    # answers each pixel: may be shown at any size, in tiles, scaled and cropped, and its labels are masks, whose
    # classes and pixels can have weights
    dense: bool = False
    boxes: bool = False  # an example is one person, cut out by a box
    middle_frame: bool = False  # of clips the answer is for the middle frame alone
    without: tuple[str, ...] = ROUND_FLAGS  # flags of train.py that mean nothing here


@dataclass(frozen=True)
class Baselines:
    """What needs no training, scored as the network is."""

    # (labels of the training split, those of the scored one, names of the units) -> {name: predictions}; for retrieval
    # in place of the names the features of the pictures of both
    answers: Callable
    label: str = ""  # feature of the training split that is read, of its first examples; "": none
    retrieval: bool = False  # all labels of the training split are read, and its pictures, to be compared


@dataclass(frozen=True)
class Right:
    """Which units of an answer are right: their raw "scores" become the probability of that, see
    `kzoo.metrics.calibration`."""

    judge: Callable  # (labels, predictions) -> (N, J): 1, 0, or NaN where nobody knows
    words: str  # what counts as right


@dataclass(frozen=True)
class Evaluator:
    """How answers are made of outputs, and scored: exact, NumPy."""

    decode: Callable  # batch of outputs -> {name: small array}, the predictions below
    score: Callable  # (labels, predictions, extras, names) -> {"scores", "tables", "notes", …}, for report.json
    errors: Callable  # (labels, predictions) -> (N,), small is good: picks the best, median and worst pictures
    extras: tuple[str, ...] = ()  # features that `score` needs where the data set has them
    beside: tuple[str, ...] = ()  # outputs that `decode` reads with the main one, where a network emits them
    baselines: Baselines | None = None
    right: Right | None = None
    # (labels, predictions, names, flags of the run, outputs of the network) -> a line with advice where it answers
    # every picture alike, else None
    collapsed: Callable | None = None
    units: Mapping[str, str] = field(default_factory=dict)  # beginning or end of a score's name -> its unit


@dataclass(frozen=True)
class Figures:
    """What is drawn: each function gives {file name: figure or animation}."""

    examples: Callable = lambda pictures, labels, outputs, titles, names: {}
    error: Callable = "error {:.3g}".format  # one of `Evaluator.errors` in words, with its unit
    charts: Callable = lambda result, names, labels, predictions: {}  # of report.json's content, and of all examples
    inside: Callable | None = None  # (network, `Run.rounds`, pictures, titles, names), of what the network is inside
    looks_for: Callable | None = None  # labels -> (outputs -> (B,) score), whose Grad-CAM++ is drawn


@dataclass(frozen=True)
class Results:
    """How `kzoo.predict` keeps and draws answers for the user's own pictures, see `kzoo.predict.readers.Picture`."""

    file: str
    rows: Callable  # (picture, names) -> list of rows
    # (canvas (h, w, 3) uint8 RGB, picture, names, (2,) its pixels per pixel of the picture) draws on the canvas
    draw: Callable
    columns: tuple[str, ...] = ()  # of a CSV; none: the rows are the entries of a JSON list
    masks: bool = False  # each picture's classes are an indexed PNG in the folder MASKS


@dataclass(frozen=True)
class Answers:
    """What is said of a picture outside of kzoo, and how it is explained."""

    graph: Callable  # ({output: tensor}, decoder or None) -> {answer: tensor}, by `keras.ops` alone: inside an export
    meanings: Mapping[str, str]  # answer -> what it is, with its unit
    writer: Results
    limits: tuple[str, ...]  # sentences of the model card on what the scores do not tell
    explained: Mapping[str, Explained] = field(default_factory=dict)  # output -> how its units are named and scored
    named: bool = True  # the names of the units tell what the answers are


@dataclass(frozen=True)
class Task:
    """Everything the trainer must know that a network does not."""

    archs: Mapping[str, Callable]  # --arch -> model function
    default: str  # --arch where none is given
    outputs: Mapping[str, Output]  # output name -> row
    main: tuple[str, ...]  # the outputs that can be scored; of those that a network emits, the first one is
    score: tuple[str, str]  # metric that picks the best epoch, and "min" or "max"
    # key of `builders.metadata_of` that names the units of the last axis; their number is the model's `num_outputs`
    names: str
    recipes: Mapping[tuple[str, str], Mapping]  # (dataset or "", arch or "") -> default flags, see `recipe`
    example: Example
    evaluator: Evaluator
    answers: Answers
    input: Input = Input()
    figures: Figures = Figures()
    learning: str = "labels"  # what train.py does: "labels", or "clusters", which has no labels and no best epoch
    terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # layer of learned loss weights -> their names

    def main_of(self, outputs) -> str:
        """The scored one of a network's outputs."""
        return next(name for name in self.main if name in outputs)

    def recipe(self, dataset: str, arch: str) -> dict:
        """Default flags of an architecture on a data set: of all rows that apply the last one wins."""
        flags = {}
        for row in (("", ""), (dataset, ""), ("", arch), (dataset, arch)):
            flags |= self.recipes.get(row, {})
        return flags
