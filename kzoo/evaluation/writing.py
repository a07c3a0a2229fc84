"""What scoring leaves in a run folder: the result as JSON, a report and a model card to read."""

from kzoo.evaluation import model_card, report
from kzoo.evaluation.scoring import Result
from kzoo.runs import Run


def write(run: Run, result: Result, out=None):
    """Write a result.

    Args:
        out: folder in place of the run's.
    """
    content = result.to_json()
    run.save_report(content, report.text(content), model_card.card(run, content), out)
