"""What scoring leaves in a run folder: results as JSON, reports and a model card to read, the calibration of scores.

One report for each condition: the training's own stands in the run folder itself, the others in a folder beside it.
"""

import dataclasses

from kzoo import UserError
from kzoo.evaluation import model_card, report
from kzoo.evaluation.scoring import Result, Scored
from kzoo.runs import Run, report_files

EXPORTED = ("export", "export_failed")


def write(run: Run, result: Result, out=None) -> str | None:
    """Write a result.

    Args:
        out: folder in place of the run's, for this result alone.
    Returns:
        the name of the condition it stands under, None for the training's own.
    """
    if out:
        content = result.to_json()
        run.save_report(content, report.text(content), out=out)
        run.save_card(model_card.card(run, content), out=out)
        return None
    own, reports = readable(run)
    condition = None
    if result.condition == "" or (result.condition, result.split) == (run.condition, run.val_split):
        earlier = None if make_room(run, result, own, reports) else own
    else:
        condition = report_files.unique(result.condition, result.to_json(), reports)
        earlier = reports.get(condition)
        result = dataclasses.replace(result, condition=condition)
    content = {**kept(earlier, result), **result.to_json()}
    run.save_report(content, report.text(content), condition=condition)
    own, reports = readable(run)
    run.save_card(model_card.card(run, own or content, reports))
    return condition


def readable(run: Run) -> tuple[dict | None, dict]:
    """`Run.report` and `Run.reports`; nothing where one is damaged, which is said: no training is lost by it."""
    try:
        return run.report, run.reports
    except UserError as error:
        print(error)
        return None, {}


def make_room(run: Run, result: Result, own: dict | None, reports: dict) -> bool:
    """A report of another condition, which older versions wrote in the place of the training's own, is set aside: was
    there one?"""
    if own is None or own.get("condition"):
        return False
    name = report_files.name_of(own, run.flags, decoder=result.decoder)
    if name == run.condition:
        return False
    run.set_report_aside(report_files.unique(name, own, reports))
    return True


def kept(earlier: dict | None, result: Result) -> dict:
    """What an earlier report of the same condition and network tells of exports, which this scoring did not make."""
    if earlier is None or result.network is None or earlier.get("network") != result.network:
        return {}
    if result.export is not None:
        return {}
    return {name: earlier[name] for name in EXPORTED if name in earlier}


def keep(run: Run, scored: Scored, out=None) -> Scored:
    """`write`, and the table of its calibration; the same with the name that its condition got."""
    condition = write(run, scored.result, out)
    if scored.calibrated and not out:
        run.save_calibration(scored.result.tta, scored.calibrated)
    return dataclasses.replace(scored, result=dataclasses.replace(scored.result, condition=condition or ""))
