"""Which runs the report needs: rows that differ from their base by one change each, at two budgets."""

import dataclasses
import pathlib

from kzoo import UserError, cli, files


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the report's tables, trained once for each seed."""

    name: str
    task: str
    arch: str
    words: str  # what it is, beside its base
    flags: tuple[str, ...] = ()  # of train.py, after the budget's: of two values the last one counts
    ablation: bool = False  # changes one thing of SOFTARGMAX
    repeated: bool = False  # with every seed of the budget, others with the first one
    budgets: tuple[str, ...] = ("quick", "full")


PATHS = ("data_source", "encoder_weights")  # flags that name a path
KEYWORDS = ("imagenet", "none", "official")  # their values that name none
IMAGENET, SCRATCH, SOFTARGMAX = "regression", "regression-scratch", "softargmax"
FCN, ENCDEC, UNET = SEGMENTATION = ("fcn", "encdec", "unet")
NO_AUGMENTATION, NO_REGULARISER = "no-augmentation", "no-regulariser"
PLAN = "plan.json"  # in the folder of the runs


def ablation(name: str, words: str, *changes: str, budgets=("quick", "full")) -> Row:
    return Row(name, "pose", "softargmax", words, changes, ablation=True, budgets=budgets)


ROWS = (
    Row(IMAGENET, "pose", "regression", "regression, ImageNet", repeated=True),
    Row(SCRATCH, "pose", "regression", "regression, scratch", ("encoder_weights=none",), repeated=True),
    Row(SOFTARGMAX, "pose", "softargmax", "soft-argmax (base)", repeated=True),
    Row(UNET, "seg", "unet", "decoder with skips", repeated=True),
    Row(ENCDEC, "seg", "encdec", "decoder without skips", repeated=True),
    Row(FCN, "seg", "fcn", "encoder alone", repeated=True),
    ablation(NO_AUGMENTATION, "no augmentation", "augment=0"),
    ablation(NO_REGULARISER, "no regulariser", "loss_weights=latent_heatmaps=0"),
    ablation("no-skips", "no skips", "set=skips=False"),
    ablation("stride-16", "maps at stride 16", "set=widths=({width},)"),
    ablation("loss-l2", "loss L2", "loss=l2"),
    ablation("stride-32", "maps at stride 32", "set=widths=()", budgets=("full",)),
    ablation("loss-euclidean", "euclidean loss", "loss=euclidean", budgets=("full",)),
    ablation("softargmax-scratch", "from scratch", "encoder_weights=none", budgets=("full",)),
    ablation("lr-1e-4", "rate 1e-4", "lr=1e-4", budgets=("full",)),
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long and how large: flags of train.py by task, beside the recipe's for coco_subset."""

    flags: dict[str, tuple[str, ...]]  # task -> …
    widths: dict[str, tuple[int, ...]]  # arch -> filters of the decoder
    examples: dict[str, dict[str, int]]  # task -> split -> how many at most; none: all
    seeds: int
    takes: str  # for people, before it starts


BUDGETS = {
    "quick": Budget(
        flags={
            "pose": ("size=96", "epochs=6", "batch_size=16", "lr=1e-3", "warmup=0.5"),
            "seg": ("size=96", "epochs=4", "batch_size=16", "lr=1e-3", "warmup=0.5"),
        },
        widths={"softargmax": (128, 96, 64), "encdec": (128, 96, 64, 32), "unet": (128, 96, 64, 32)},
        examples={"pose": {"train": 1200, "val": 1000}, "seg": {"train": 1250, "val": 500}},
        seeds=1,
        takes="about 55 CPU minutes with --encoder=mobilenetv2, more with larger encoders",
    ),
    # sizes, epochs and rates are the recipe's: 256 px, 40 epochs (seg: 30)
    "full": Budget(
        flags={"pose": (), "seg": ()},
        widths={"softargmax": (256, 256, 256), "encdec": (256, 128, 64, 32), "unet": (256, 128, 64, 32)},
        examples={"pose": {}, "seg": {}},
        seeds=3,
        takes="many hours, for a GPU (not measured)",
    ),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the user chose. Two calls on one folder of runs must agree in all but `data_dir`."""

    data_source: str
    budget: str = "quick"
    encoder: str = "resnet50"
    encoder_weights: str = "imagenet"
    seed: int = 0
    data_dir: str | None = None

    def check(self):
        """Raises UserError for what cannot give the report."""
        if not self.data_source:
            raise UserError("--data_source=<COCO folder or the lab's coco_subset.zip> is needed")
        cli.pick(BUDGETS, self.budget, "budget")
        if self.encoder_weights == "none":
            raise UserError(
                "--encoder_weights=none: the report compares training from ImageNet with training from scratch; "
                "allowed: imagenet or a file"
            )
        if self.encoder_weights != "imagenet" and not pathlib.Path(self.encoder_weights).is_file():
            raise UserError(
                f"no file of weights at --encoder_weights={self.encoder_weights!r}; allowed: imagenet or a file"
            )


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run that the report needs: one call of train.py."""

    name: str
    row: Row
    seed: int
    arguments: tuple[str, ...]


def split(name: str, examples: int, most: int | None) -> str:
    """TFDS's name for the first `most` examples of a split, which does not take more than there are."""
    return f"{name}[:{most}]" if most and most < examples else name


def runs(settings: Settings, sizes: dict[str, dict[str, int]]) -> list[Planned]:
    """The runs of a budget, in the order in which they are trained.

    Args:
        sizes: task -> split -> examples that there are.
    """
    budget = BUDGETS[settings.budget]
    found = []
    for row in ROWS:
        if settings.budget not in row.budgets:
            continue
        seeds = budget.seeds if row.repeated else 1
        for seed in range(settings.seed, settings.seed + seeds):
            name = row.name if seed == settings.seed else f"{row.name}-seed{seed}"
            found.append(Planned(name, row, seed, arguments(row, seed, settings, budget, sizes[row.task])))
    return found


def arguments(row: Row, seed: int, settings: Settings, budget: Budget, sizes: dict[str, int]) -> tuple[str, ...]:
    """Of train.py, for a row; sizes: split -> examples that there are."""
    places = {"data_source": settings.data_source, "data_dir": settings.data_dir}
    flags = [f"{name}={value}" for name, value in places.items() if value]
    flags += [f"encoder={settings.encoder}", f"encoder_weights={settings.encoder_weights}", f"seed={seed}"]
    flags += budget.flags[row.task]
    for name in ("train", "val"):
        most = budget.examples[row.task].get(name)
        flags.append(f"{name}_split={split(name, sizes[name], most)}")
    widths = budget.widths.get(row.arch)
    if widths:
        flags.append(f"set=widths={widths}".replace(" ", ""))
    flags += [flag.format(width=widths and widths[0]) for flag in row.flags]
    return (f"--task={row.task}", f"--arch={row.arch}", "--dataset=coco_subset", *(f"--{flag}" for flag in flags))


def one_spelling(name: str, value):
    """The absolute path of what a flag of PATHS names, if it is there; all else as it is."""
    if name not in PATHS or not value or value in KEYWORDS or not pathlib.Path(value).exists():
        return value
    return str(pathlib.Path(value).resolve())


def comparable(plan: dict) -> dict:
    """A plan, just made or as it was written, in which the same path is the same string."""

    def argument(text: str) -> str:
        flag, equals, value = text.partition("=")
        return f"{flag}{equals}{one_spelling(flag.removeprefix('--'), value)}"

    settings = {name: one_spelling(name, value) for name, value in plan.items() if name != "runs"}
    runs = {name: list(map(argument, arguments)) for name, arguments in plan["runs"].items()}
    return {**settings, "runs": runs}


def keep(folder, settings: Settings, planned: list[Planned]):
    """Write the plan of a folder of runs, or compare with the one that stands there.

    Raises:
        UserError: the runs there were made by another plan.
    """
    path = pathlib.Path(folder) / PLAN
    chosen = dataclasses.asdict(settings)
    del chosen["data_dir"]  # may move
    runs = {one.name: [a for a in one.arguments if not a.startswith("--data_dir=")] for one in planned}
    plan = comparable({**chosen, "runs": runs})
    if not path.exists():
        files.write_json(path, plan)
        return
    known = comparable(files.read_json(path))
    for name in chosen:
        if known.get(name) != plan[name]:
            raise UserError(
                f"{folder} holds runs of --{name}={known.get(name)}, and this call has --{name}={plan[name]}; "
                "give the same flags, or another --work"
            )
    before = known["runs"]
    now = plan["runs"]
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        raise UserError(
            f"{folder} holds runs of another version's plan, which differs in {', '.join(changed)}; give another --work"
        )
