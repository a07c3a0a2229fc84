"""What is swept: flags of train.py as lists and ranges, and the points they make."""

import ast
import dataclasses
import difflib
import itertools
import re

from absl import flags

from kzoo import UserError, cli
from kzoo.sweep import studies, study_trials

RANGE = re.compile(r"(log|uniform|int):([^:]*):([^:]*)")
KINDS = {"log": float, "uniform": float, "int": int}
OPENING, CLOSING = "([{", ")]}"
RESERVED = ("resume", "find_lr")  # of train.py, and not for sweeps
PLACES = ("data_dir", "data_source")  # may differ from machine to machine
HELP = ("help", "helpshort", "helpfull", "helpxml")
LARGEST = 2000  # points of a grid


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What a sweep varies: a flag of train.py, or one assignment of a flag that may be repeated."""

    flag: str
    key: str = ""  # of an assignment
    choices: tuple[str, ...] = ()
    kind: str = ""  # of a range: log, uniform or int
    low: float = 0.0
    high: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.flag}.{self.key}" if self.key else self.flag

    def argument(self, value) -> str:
        """--lr=0.001, --set=width=32"""
        return f"--{self.flag}={self.key}{'=' * bool(self.key)}{value}"

    def suggest(self, trial):
        """The value of an Optuna trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            return trial.suggest_int(self.name, self.low, self.high)
        return trial.suggest_float(self.name, self.low, self.high, log=self.kind == "log")


def train_flags() -> flags.FlagValues:
    """The flags that train.py defines, read from its source: importing it would define them here."""
    if not study_trials.TRAIN.exists():
        raise UserError(
            f"no train.py at {study_trials.TRAIN}: sweeps start it, so they need the checkout (pip install -e .)"
        )
    values = flags.FlagValues()
    for node in ast.walk(ast.parse(study_trials.TRAIN.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("DEFINE_"):
            keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
            getattr(flags, node.func.attr)(*map(ast.literal_eval, node.args), flag_values=values, **keywords)
    return values


def separate(arguments: list[str], own) -> tuple[list[str], list[str]]:
    """Arguments whose flags are in `own`, and the others, as --name=value or --name."""
    joined: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            joined.append("--" + argument.lstrip("-"))
        elif joined and joined[-1].startswith("-") and "=" not in joined[-1]:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    names = {*own, *(f"no{name}" for name in own), *HELP}
    first = [argument for argument in joined if argument[2:].partition("=")[0] in names]
    return first, [argument for argument in joined if argument not in first]


def split(text: str) -> list[str]:
    """Split at the commas outside of brackets: "(32,16),(64,32)" -> ["(32,16)", "(64,32)"]."""
    parts, expected = [""], []
    for letter in text:
        if letter in OPENING:
            expected.append(CLOSING[OPENING.index(letter)])
        elif letter in CLOSING and (not expected or expected.pop() != letter):
            raise UserError(f"the brackets of {text!r} do not match")
        if letter == "," and not expected:
            parts.append("")
        else:
            parts[-1] += letter
    if expected:
        raise UserError(f"the brackets of {text!r} do not match")
    return parts


def parameter(argument: str, flag: str, key: str, text: str, *, is_list: bool) -> Parameter | None:
    """What an argument of train.py varies; None where it gives one value."""
    if found := RANGE.fullmatch(text):
        kind = found[1]
        try:
            low, high = map(KINDS[kind], found.groups()[1:])
        except ValueError as error:
            raise UserError(
                f"{argument} must read {kind}:<low>:<high>, with numbers{' without a point' * (kind == 'int')}"
            ) from error
        if not (0 if kind == "log" else float("-inf")) < low < high < float("inf"):
            raise UserError(f"{argument} must have its low end {'above 0 and ' * (kind == 'log')}below its high end")
        return Parameter(flag, key, kind=kind, low=low, high=high)
    choices = split(text)
    if is_list:  # 10,5 is one list of two; (10,5),(5,3) are two lists
        if not all(choice.startswith("(") and choice.endswith(")") for choice in choices):
            return None
        choices = [choice[1:-1] for choice in choices]
    elif len(choices) == 1:
        return None
    if len(set(choices)) < len(choices) or "" in choices:
        raise UserError(
            f"{argument}: each choice must be given once and none may be empty; commas within brackets do not separate choices"
        )
    return Parameter(flag, key, choices=tuple(choices))


def parse(arguments: list[str], values: flags.FlagValues) -> tuple[list[Parameter], list[str]]:
    """What varies, and the arguments that are passed on unchanged.

    Args:
        arguments: of train.py, as `separate` gives them; values: its flags.
    Raises:
        UserError: an unknown flag, a value that it does not take, a flag given twice, a malformed list or range.
    """
    varied: dict[str, Parameter] = {}
    fixed: dict[str, str] = {}
    for argument in arguments:
        if not argument.startswith("--"):
            raise UserError(f"unexpected argument {argument!r}; every option is a flag, --name=value")
        flag, equals, text = argument[2:].partition("=")
        name = flag if flag in values else flag.removeprefix("no")
        if name not in values or (name != flag and not values[name].boolean):
            close = difflib.get_close_matches(flag, list(values), 1)
            hint = f"did you mean --{close[0]}?" if close else "they stand at the head of train.py"
            raise UserError(f"unknown flag --{flag}: neither of kzoo.sweep nor of train.py; {hint}")
        if name in RESERVED:
            raise UserError(
                f"--{flag} is not for sweeps: unfinished trials are continued anyway, and each must end with a score"
            )
        if not equals and not values[name].boolean:
            raise UserError(f"--{flag} needs a value: --{flag}=<value>")
        key = ""
        if isinstance(values[name], flags.MultiFlag):
            cli.assignments([text], flag)  # raises where it is none
            key, _, text = text.partition("=")
        found = (
            parameter(argument, name, key, text, is_list=values[name].flag_type().startswith("comma"))
            if equals
            else None
        )
        known = f"{name}.{key}" if key else name
        if known in varied or known in fixed:
            raise UserError(f"{argument}: given twice")
        tried = [found.argument(value) for value in found.choices or (found.low, found.high)] if found else [argument]
        for one in tried:
            try:
                values(["train.py", one])
            except flags.Error as error:
                raise UserError(f"{argument}: {error}") from error
        if found:
            varied[known] = found
        else:
            fixed[known] = argument
    return list(varied.values()), list(fixed.values())


def points(varied: list[Parameter], sampler: str | None, trials: int | None) -> tuple[str, dict[str, dict]]:
    """The sampler, and each point of the study by its key: the values that are given from the start, those of a
    grid."""
    ranges = [p for p in varied if not p.choices]
    if not varied:
        raise UserError("nothing varies: give a list (--arch=fcn,unet) or a range (--lr=log:1e-5:1e-2)")
    if ranges and sampler in (None, "grid"):
        raise UserError(
            f"--{ranges[0].name} is a range, which a grid does not take; give --sampler=random or tpe, and --trials=<number>"
        )
    if sampler in (None, "grid"):
        if trials:
            raise UserError(f"--trials={trials} is for --sampler=random and tpe: a grid has as many as it has points")
        grid = [
            dict(zip([p.name for p in varied], one, strict=True))
            for one in itertools.product(*(p.choices for p in varied))
        ]
        if len(grid) > LARGEST:
            raise UserError(
                f"this grid has {len(grid)} points, at most {LARGEST} are run; try --sampler=random --trials=<number>"
            )
        return "grid", {studies.key_of(point): point for point in grid}
    if not trials:
        raise UserError(f"--sampler={sampler} needs --trials=<number>")
    return sampler, {str(number): {} for number in range(trials)}


def aim(values: flags.FlagValues, varied: list[Parameter], fixed: list[str], metric: str | None, direction: str | None):
    """Name of the score, and "min" or "max". Raises UserError for a task or an architecture that is not there."""
    from kzoo.tasks import TASKS  # slow

    chosen = {p.flag: p.choices for p in varied} | {
        name: (text,) for name, _, text in (one[2:].partition("=") for one in fixed)
    }
    names = chosen.get("task", (values["task"].default,))
    if len(names) > 1:
        raise UserError(f"--task={','.join(names)}: a study has one task, since tasks have different scores")
    task = cli.pick(TASKS, names[0], "task")
    for arch in chosen.get("arch", (values["arch"].default,)):
        cli.pick(task.archs, arch, "arch")
    if metric not in (None, task.score[0]) and not direction:
        raise UserError(f"--metric={metric} needs --direction=min or max")
    return metric or task.score[0], direction or task.score[1]
