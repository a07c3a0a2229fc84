"""The data set that a run saw, found again: by the records, wherever they lie now."""

import os

from kzoo import UserError
from kzoo.data import builders, fingerprints, places
from kzoo.data.description import DataSet


def builder(saw: DataSet, dataset: str, folder, stored: str | None, *, data_dir=None, data_source=None):
    """The prepared data set whose records a run saw.

    A generated set that is not there is made again, and others from a source that is given, where the user says so by
    an existing data_dir, or where the run was content with the default folder: never in a folder that is not there.

    Args:
        saw: what the run remembers; dataset: its flag; folder: of the run; stored: data_dir of its flags;
        data_dir: where to look, and nowhere else; data_source: raw data, to prepare it again.
    Raises:
        UserError: it is not there, or its records are others.
    """
    if data_dir is not None:
        if not places.is_address(data_dir) and not os.path.isdir(data_dir):
            raise UserError(f"no folder at data_dir={data_dir!r}; the run saw {saw.name}")
        return _same(saw, dataset, data_dir, data_source)
    if stored is None:
        return _same(saw, dataset, None, data_source)

    # Where the run had it, where it may have moved to, and the default folder
    default = os.path.abspath(builders.find(dataset).data_dir_root)
    looked = list(dict.fromkeys([*places.of_run(stored, folder), default]))
    different = None
    for place in looked:
        if not places.is_address(place) and not os.path.isdir(place):
            continue
        found = builders.find(dataset, place)
        if not found.is_prepared():
            continue
        unlike = fingerprints.difference(saw, found)
        if unlike is None:
            return builders.prepare(dataset, place, data_source)
        different = different or unlike
    if different and os.path.isdir(looked[0]):
        raise UserError(different)
    if different:
        raise UserError(
            f"{different}; its own lay in {stored}, which is not there: give data_dir=<folder that holds it>"
        )
    if os.path.abspath(stored) == default or data_source:
        return _same(saw, dataset, looked[0], data_source)
    raise UserError(
        f"the run saw {saw.name} in {stored}, which is not there: give data_dir=<folder that holds it>"
        + (", an existing one where it shall be prepared" if builders.about_of(dataset).source is None else "")
    )


def _same(saw: DataSet, dataset: str, place: str | None, data_source: str | None):
    """Prepared there if need be, and compared."""
    found = builders.find(dataset, place)
    if not found.is_prepared():
        if found.info.full_name != saw.name:
            raise UserError(f"the run saw {saw.name}, this version of kzoo prepares {found.info.full_name}")
        if builders.about_of(dataset).source and not data_source:
            raise UserError(
                f"the run saw {saw.name}, not prepared in {found.data_dir}: give data_dir=<folder that holds it>"
            )
    found = builders.prepare(dataset, place, data_source)
    different = fingerprints.difference(saw, found)
    if different:
        raise UserError(different)
    return found
