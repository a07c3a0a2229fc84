"""From the flags that a user gives to the flags of a run: recipes, and mistakes told before a framework starts."""

import math

from kzoo import UserError, cli
from kzoo.training import catalogue, checks

REPEATED = ("set", "loss_set", "loss_weights")  # flags of assignments


def without_default(dataset: str | None) -> str | None:
    """people for people/pictures: recipes know a data set's first configuration by the data set's name."""
    name, _, config = (dataset or "").partition("/")
    first = catalogue.configurations(name)[:1]
    return name if (config,) == first and name != "coco_subset" else dataset


def resolve(given: dict) -> dict:
    """Flags of the run: the recipe of the data set, then the recipe of the arch on it, then what the user gave.

    Args:
        given: every flag of train.py by name; None where the recipe decides.
    Raises:
        UserError: a name that is not there, a flag that does not fit.
    """
    # Names
    cli.check_name(catalogue.tasks(), given["task"], "task")
    task = catalogue.tasks()[given["task"]]
    arch = given["arch"] or task.default
    checks.arch(task, arch)
    checks.dataset(given["dataset"])
    for name in task.without:
        if given[name]:
            raise UserError(f"--{name} is not for --task={task.name}")
    checks.names(task, arch, given)

    # Recipes
    known = task.datasets
    dataset = without_default(given["dataset"]) or task.dataset_for(arch)
    if dataset not in known:
        dataset = next((name for name in known if name.startswith(f"{dataset}/")), dataset)
    recipe = task.recipe(dataset, arch)
    taken = {name: value for name, value in recipe.items() if given[name] is None}
    resolved = {**given, "arch": arch, "dataset": dataset, **taken}
    for name in REPEATED:  # the user's assignments come on top of the recipe's
        own = cli.assignments(given[name], name)
        resolved[name] = [f"{k}={v}" for k, v in {**cli.assignments(recipe.get(name), name), **own}.items()]
    for name in ("encoder", "encoder_weights"):
        if name not in catalogue.hyperparameters(arch):
            if given[name] is not None:
                raise UserError(f"{arch} is a network of its own: it takes no --{name}")
            resolved[name] = None
    resolved["train_split"] = resolved["train_split"] or "train"
    resolved["val_split"] = resolved["val_split"] or ("val" if task.learning == "labels" else resolved["train_split"])

    # What is missing, and what does not fit
    missing = [f"--{name}" for name in ("size", "epochs", "batch_size", "lr") if resolved[name] is None]
    if missing:
        raise UserError(
            f"{task.name} has no recipe for dataset {dataset!r} (it has {', '.join(sorted(known))}): give "
            + " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        )
    checks.numbers(task, resolved)
    border_of(resolved)
    return resolved


def border_of(flag: dict) -> tuple[float, float] | None:
    """Weight and sigma of --border."""
    if not flag["border"]:
        return None
    try:
        weight, sigma = map(float, flag["border"])
    except ValueError as error:
        raise UserError(
            f"--border={','.join(flag['border'])} must be a weight and a sigma in pixels, for instance 10,5"
        ) from error
    fits = 0 <= weight < math.inf and 0 < sigma < math.inf
    if not catalogue.tasks()[flag["task"]].dense or not fits:
        raise UserError(
            f"--border is for --task=seg, with a weight of 0 or more and a sigma above 0; got {weight:g},{sigma:g}"
        )
    return weight, sigma


def arguments(flag: dict) -> list[str]:
    """The arguments of train.py that give these flags again."""
    found = []
    for name, value in flag.items():
        if value is None or value is False or value == []:
            continue
        if value is True:
            found.append(f"--{name}")
        elif name in REPEATED:
            found += [f"--{name}={one}" for one in value]
        else:
            found.append(f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}")
    return found
