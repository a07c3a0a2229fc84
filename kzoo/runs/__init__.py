"""`Run`: the one reader and writer of a run folder, and what belongs to it."""

from kzoo.runs.beginning import begun, continued, free_folder
from kzoo.runs.file_names import (
    CLUSTERING,
    CONFIGURATION,
    EXPORTS,
    HISTORY,
    MODEL,
    REPORT,
    REPORT_TEXT,
    REPORTS,
    ROUNDS,
    STATE,
)
from kzoo.runs.flag_paths import absolute_paths, path_in
from kzoo.runs.folder import read_history
from kzoo.runs.run import Run, load, with_networks

__all__ = [
    "CLUSTERING",
    "CONFIGURATION",
    "EXPORTS",
    "HISTORY",
    "MODEL",
    "REPORT",
    "REPORTS",
    "REPORT_TEXT",
    "ROUNDS",
    "STATE",
    "Run",
    "absolute_paths",
    "begun",
    "continued",
    "free_folder",
    "load",
    "path_in",
    "read_history",
    "with_networks",
]
