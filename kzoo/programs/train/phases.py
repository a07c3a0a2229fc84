"""A training from its flags to its report, phase by phase."""

import contextlib
import shlex

from kzoo import cli, runs
from kzoo.cli import frameworks
from kzoo.programs.train import learning, planning, settling
from kzoo.runs import Run
from kzoo.training import interruption, resolving

FIGURES = 6  # examples that the report at the end draws


def train(given: dict, said: set[str] | None = None) -> Run:
    """Train, or go on with, what flags ask for, and score the best network.

    Args:
        given: every flag by name; None where the recipe decides; said: those that the user gave: --resume refuses to
        change most of them.
    Returns:
        the run.
    Raises:
        UserError: a flag that does not fit, or a training that cannot go on.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(interruption.told(lambda: "stopped before the training began"))
        if given["resume"] and given["out"] and Run.exists(given["out"]):
            held.enter_context(runs.continued(given["out"]))
        flag = settling.settled(given, said)
        print(cli.command("train", *resolving.arguments(flag)), flush=True)
        frameworks.start()
        plan = planning.planned(flag)
        learn = {"labels": learning.learn_labels, "clusters": learning.learn_clusters}[plan.task.learning]
        run, ended = learn(plan, held)
        if ended is not None:
            print(finished(run, ended, plan.flag))
            print(f"next: {cli.command('eval', f'--run={run.folder}', '--pictures=16')}")
            if run.reads in (("image",), ("frames",)):
                print(f"      {cli.command('predict', f'--run={run.folder}', '--images=photos', '--out=answers')}")
    return run


def finished(run: Run, ended: str, flag: dict) -> str:
    """Score the best network, write and draw; a line for people."""
    from kzoo.evaluation import drawing, report, scoring, writing

    folder = shlex.quote(str(run.folder))
    with interruption.told(lambda: f"stopped while scoring; all epochs are kept: python eval.py --run={folder}"):
        scored = scoring.score(run, split=flag["val_split"], data_dir=flag["data_dir"])
        scored = writing.keep(run, scored)
        drawing.draw(run, scored, FIGURES)
    scores = report.scores_line(scored.result.scores, run.task.evaluator.units)
    return f"{ended}; {flag['val_split']}: {scores}\nwrote {run.folder}/"
