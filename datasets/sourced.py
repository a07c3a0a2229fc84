"""What builders share whose raw data is the user's own folder, or is downloaded where there is none."""

import contextlib
import json
import os
import pathlib

import tensorflow_datasets as tfds

from kzoo.datasets import source_state

STATE = "source.json"  # beside the prepared records: the state of the source that they were prepared from


def describe(counts: dict) -> str:
    """Counts in one line; zeros are left out, but for what was kept."""
    return ", ".join(f"{key} {value}" for key, value in counts.items() if value or key == "kept")


class Sourced:
    """Before `tfds.core.GeneratorBasedBuilder` in a builder's bases.

    The builder has `about` (`datasets/about.py`) and `find_source`: path -> source with a `path`; where the data can be
    downloaded, also `find_official`: download manager -> source. It keeps `source_path` and `counts` (by split, what
    was read and left out) in its metadata, and the state of a source on this machine beside its records.
    """

    passed: tuple[str, ...] = ()  # endings of files in the source's folders that are not read

    def __init__(self, *, data_source=None, **kwargs):
        """`data_source`: the raw data or its folder; None: the manual folder, else the official download, if any."""
        self._data_source = data_source
        self._manual_dir = None
        self._state = None
        super().__init__(**kwargs)

    def __getstate__(self):
        return {"_original_state": {**super().__getstate__()["_original_state"], "data_source": self._data_source}}

    def download_and_prepare(self, *, download_config=None, **kwargs):
        """As in TFDS; refuses to pass a set that was prepared from another source, or state of it, for the one asked
        for."""
        mode = download_config.download_mode if download_config else tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
        if self.is_prepared() and not mode.overwrite_dataset:
            self.check_source()
        super().download_and_prepare(download_config=download_config, **kwargs)

    def check_source(self) -> str | None:
        """Whether the prepared data are those of the source that was asked for.

        Returns:
            a line for people where that cannot be told, else None.
        Raises:
            ValueError: they came from another source, or from another state of it.
        """
        if self._data_source is None:
            return None
        source = self.find_source(self._data_source)
        wanted, known = source.path, self.info.metadata["source_path"]
        if wanted != known:
            raise ValueError(
                f"{self.data_dir} was prepared from {known}, not from {wanted}: choose another data_dir, or "
                "train.py --refresh prepares it again"
            )
        kept = pathlib.Path(self.data_dir, STATE)
        try:
            then = json.loads(kept.read_text())
            same = all(isinstance(then[name], int | str) for name in ("files", "names", "times", "contents"))
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            return (
                f"{self.data_dir} was prepared by an older version, from an unknown state of {wanted}: "
                "train.py --refresh prepares it again"
            )

        # A change shows in names, sizes or times; where it is times alone, what the files hold decides.
        files, top = self._files_of(source)
        now = source_state.state_of(files)
        if now == {name: then[name] for name in now}:
            return None
        same = now["names"] == then["names"] and source_state.contents_of(files, top) == then["contents"]
        if not same:
            raise ValueError(
                f"{self.data_dir} was prepared from another state of {wanted}: train.py --refresh prepares it again"
            )
        with contextlib.suppress(OSError):  # read once, not at every start
            _write(kept, {**then, **now})
        return None

    def source_paths(self, source) -> list:
        """Files and folders that a source is read from; builders know better which of those that it names."""
        return source_state.paths_in(source)

    def _files_of(self, source) -> tuple[dict, str]:
        top = source.path if os.path.isdir(source.path) else os.path.dirname(source.path)
        return source_state.files_of(self.source_paths(source), top, self.passed), top

    def _download_and_prepare(self, dl_manager, download_config):
        """Remembers whether the user named a manual folder, and prints the counts when all is prepared."""
        self._manual_dir = download_config.manual_dir
        super()._download_and_prepare(dl_manager, download_config)
        if self._state:  # beside the records, which are not whole yet
            _write(pathlib.Path(self.data_dir, STATE), self._state)
        name = f"{self.name}/{self.builder_config.name}" if self.builder_config else self.name
        for split in self.info.metadata["counts"]:
            print(f"{name} {split}: {self.describe_split(split)}")

    def describe_split(self, split: str) -> str:
        """What was read and left out of a split, in one line."""
        return describe(self.info.metadata["counts"][split])

    def _source(self, dl_manager):
        """The raw data that was asked for, else that in the manual folder, else the official download."""
        source = self._own_source(dl_manager)
        self._state = None
        if source is None:
            return self.find_official(dl_manager)
        files, top = self._files_of(source)  # before it is read: a change while it is read is one
        self._state = {**source_state.state_of(files), "contents": source_state.contents_of(files, top)}
        return source

    def _own_source(self, dl_manager):
        """The raw data on this machine; None: it is to be downloaded."""
        if self._data_source is not None:
            return self.find_source(self._data_source)
        if not self.about.downloadable:
            return self.find_source(dl_manager.manual_dir)
        if self._manual_dir is not None:  # a slip of the pen must not start a download
            return self.find_source(self._manual_dir)
        try:
            return self.find_source(dl_manager.manual_dir)
        except (AssertionError, FileNotFoundError):  # TFDS's default manual folder is empty, or holds other data sets
            return None


def _write(path: pathlib.Path, state: dict):
    """Whole or not at all."""
    temporary = path.with_name(f".writing-{os.getpid()}-{path.name}")
    temporary.write_text(json.dumps(state) + "\n")
    os.replace(temporary, path)
