"""What is swept: flags of train.py as lists and ranges, and the points they make."""

import ast
import dataclasses
import importlib.util
import itertools
import pathlib
import re

from absl import flags

from kzoo import UserError, cli
from kzoo.sweep import studies, study_trials
from kzoo.training import catalogue, checks

RANGE = re.compile(r"(log|uniform|int):([^:]*):([^:]*)")
KINDS = {"log": float, "uniform": float, "int": int}
OPENING, CLOSING = "([{", ")]}"
RESERVED = ("resume", "find_lr", "show")  # of train.py, and not for sweeps
PLACES = ("data_dir", "data_source")  # may differ from machine to machine
HELP = ("help", "helpshort", "helpfull", "helpxml")
LARGEST = 2000  # points of a grid
UNKNOWN = object()  # an expression that is no literal


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
        return f"--{self.flag}={self.key}={value}" if self.key else f"--{self.flag}={value}"

    def suggest(self, trial):
        """The value of an Optuna trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            return trial.suggest_int(self.name, self.low, self.high)
        return trial.suggest_float(self.name, self.low, self.high, log=self.kind == "log")


def train_flags() -> flags.FlagValues:
    """The flags of a training, read from the source of what `study_trials.launch` starts: importing it would define
    them here."""
    module = study_trials.TRAIN[-1]
    values = flags.FlagValues()
    source = pathlib.Path(importlib.util.find_spec(module).origin).read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("DEFINE_"):
            _define(node, values)
    return values


def _define(call: ast.Call, values: flags.FlagValues):
    """One flag. What of it is no literal, as help that names all data sets, is left to the program itself: its flag
    takes what any has of its kind."""
    name, *others = map(_literal, call.args)
    keywords = {keyword.arg: _literal(keyword.value) for keyword in call.keywords}
    keywords = {key: value for key, value in keywords.items() if value is not UNKNOWN}
    default = keywords.pop("default", others[0] if others else None)
    kind = call.func.attr
    further = others[1:]
    if kind == "DEFINE_enum":  # default, values, help
        if not further or further[0] is UNKNOWN:
            kind = "DEFINE_string"
        further = further if kind == "DEFINE_enum" else further[1:]
    default = None if default is UNKNOWN else default
    further = ["" if value is UNKNOWN else value for value in further]
    define = getattr(flags, kind, None) or getattr(cli, kind)
    define(name, default, *further, flag_values=values, **keywords)


def _literal(node: ast.expr):
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cli":
        return getattr(cli, node.attr)  # bounds that flags share
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


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
    parts = [""]
    expected: list[str] = []
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
    found = RANGE.fullmatch(text)
    if found:
        return _range(argument, flag, key, *found.groups())
    choices = split(text)
    if is_list:  # 10,5 is one list of two; (10,5),(5,3) are two lists
        if not all(choice.startswith("(") and choice.endswith(")") for choice in choices):
            return None
        choices = [choice[1:-1] for choice in choices]
    elif len(choices) == 1:
        return None
    if len(set(choices)) < len(choices) or "" in choices:
        raise UserError(
            f"{argument}: each choice must be given once and none may be empty; commas within brackets do not separate "
            "choices"
        )
    return Parameter(flag, key, choices=tuple(choices))


def _range(argument: str, flag: str, key: str, kind: str, low: str, high: str) -> Parameter:
    try:
        least, most = KINDS[kind](low), KINDS[kind](high)
    except ValueError as error:
        numbers = "numbers without a point" if kind == "int" else "numbers"
        raise UserError(f"{argument} must read {kind}:<low>:<high>, with {numbers}") from error
    bound = 0 if kind == "log" else float("-inf")
    if not bound < least < most < float("inf"):
        above = "above 0 and " if kind == "log" else ""
        raise UserError(f"{argument} must have its low end {above}below its high end")
    return Parameter(flag, key, kind=kind, low=least, high=most)


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
        name, text = _flag_of(argument, values)
        key = ""
        if isinstance(values[name], flags.MultiFlag):
            cli.assignments([text], name)  # raises where it is none
            key, _, text = text.partition("=")
        is_list = values[name].flag_type().startswith("comma")
        found = None if text is None else parameter(argument, name, key, text, is_list=is_list)
        known = f"{name}.{key}" if key else name
        if known in varied or known in fixed:
            raise UserError(f"{argument}: given twice")
        _try(argument, found, values)
        if found:
            varied[known] = found
        else:
            fixed[known] = argument
    return list(varied.values()), list(fixed.values())


def _flag_of(argument: str, values: flags.FlagValues) -> tuple[str, str | None]:
    """Name of the flag and the text of its value, None of --cache and --nocache."""
    if not argument.startswith("--"):
        raise UserError(f"unexpected argument {argument!r}; every option is a flag, --name=value")
    flag, equals, text = argument[2:].partition("=")
    name = flag if flag in values else flag.removeprefix("no")
    if name not in values or (name != flag and not values[name].boolean):
        hint = cli.meant(f"--{flag}", [f"--{one}" for one in values]) or "; python train.py --helpshort tells them"
        raise UserError(f"unknown flag --{flag}: neither of kzoo.sweep nor of train.py{hint}")
    if name in RESERVED:
        raise UserError(
            f"--{flag} is not for sweeps: unfinished trials are continued anyway, and each must end with a score"
        )
    if not equals and not values[name].boolean:
        raise UserError(f"--{flag} needs a value: --{flag}=<value>")
    return name, text if equals else None


def _try(argument: str, found: Parameter | None, values: flags.FlagValues):
    """Does train.py take each choice, or both ends of the range?"""
    choices = (found.choices or (found.low, found.high)) if found else ()
    tried = [found.argument(value) for value in choices] or [argument]
    for one in tried:
        try:
            values(["train.py", one])
            cli.check_finite(values)
        except flags.Error as error:
            raise UserError(f"{argument}: {error}") from error


def points(varied: list[Parameter], sampler: str | None, trials: int | None) -> tuple[str, dict[str, dict]]:
    """The sampler, and each point of the study by its key: the values that are given from the start, those of a
    grid."""
    ranges = [p for p in varied if not p.choices]
    if not varied:
        raise UserError("nothing varies: give a list (--arch=fcn,unet) or a range (--lr=log:1e-5:1e-2)")
    if ranges and sampler in (None, "grid"):
        raise UserError(
            f"--{ranges[0].name} is a range, which a grid does not take; give --sampler=random or tpe, and "
            "--trials=<number>"
        )
    if sampler in (None, "grid"):
        if trials:
            raise UserError(f"--trials={trials} is for --sampler=random and tpe: a grid has as many as it has points")
        names = [p.name for p in varied]
        choices = itertools.product(*(p.choices for p in varied))
        grid = [dict(zip(names, one, strict=True)) for one in choices]
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
    chosen = {p.flag: p.choices for p in varied}
    for argument in fixed:
        name, _, text = argument[2:].partition("=")
        chosen[name] = (text,)
    names = chosen.get("task", (values["task"].default,))
    if len(names) > 1:
        raise UserError(f"--task={','.join(names)}: a study has one task, since tasks have different scores")
    task = cli.pick(catalogue.tasks(), names[0], "task")
    for arch in chosen.get("arch", ()):
        checks.arch(task, arch)
    for dataset in chosen.get("dataset", ()):
        checks.dataset(dataset)
    if metric not in (None, task.score[0]) and not direction:
        raise UserError(f"--metric={metric} needs --direction=min or max")
    return metric or task.score[0], direction or task.score[1]
