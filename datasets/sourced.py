"""What builders share whose raw data is the user's own folder, or is downloaded where there is none."""

import tensorflow_datasets as tfds


def describe(counts: dict) -> str:
    """Counts in one line; zeros are left out, but for what was kept."""
    return ", ".join(f"{key} {value}" for key, value in counts.items() if value or key == "kept")


class Sourced:
    """Before `tfds.core.GeneratorBasedBuilder` in a builder's bases.

    The builder has `about` (`datasets/about.py`) and `find_source`: path -> source with a `path`; where the data can be
    downloaded, also `find_official`: download manager -> source. It keeps `source_path` and `counts` (by split, what
    was read and left out) in its metadata.
    """

    def __init__(self, *, data_source=None, **kwargs):
        """`data_source`: the raw data or its folder; None: the manual folder, else the official download, if any."""
        self._data_source = data_source
        self._manual_dir = None
        super().__init__(**kwargs)

    def __getstate__(self):
        return {"_original_state": {**super().__getstate__()["_original_state"], "data_source": self._data_source}}

    def download_and_prepare(self, *, download_config=None, **kwargs):
        """As in TFDS; refuses to pass a set that was prepared from another source for the one asked for."""
        mode = download_config.download_mode if download_config else tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
        if self._data_source is not None and self.is_prepared() and not mode.overwrite_dataset:
            wanted, found = self.find_source(self._data_source).path, self.info.metadata["source_path"]
            if wanted != found:
                raise ValueError(
                    f"{self.data_dir} was prepared from {found}, not from {wanted}: choose another data_dir or remove "
                    "it"
                )
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _download_and_prepare(self, dl_manager, download_config):
        """Remembers whether the user named a manual folder, and prints the counts when all is prepared."""
        self._manual_dir = download_config.manual_dir
        super()._download_and_prepare(dl_manager, download_config)
        name = f"{self.name}/{self.builder_config.name}" if self.builder_config else self.name
        for split in self.info.metadata["counts"]:
            print(f"{name} {split}: {self.describe_split(split)}")

    def describe_split(self, split: str) -> str:
        """What was read and left out of a split, in one line."""
        return describe(self.info.metadata["counts"][split])

    def _source(self, dl_manager):
        """The raw data that was asked for, else that in the manual folder, else the official download."""
        if self._data_source is not None:
            return self.find_source(self._data_source)
        if not self.about.downloadable:
            return self.find_source(dl_manager.manual_dir)
        if self._manual_dir is not None:  # a slip of the pen must not start a download
            return self.find_source(self._manual_dir)
        try:
            return self.find_source(dl_manager.manual_dir)
        except (AssertionError, FileNotFoundError):  # TFDS's default manual folder is empty, or holds other data sets
            return self.find_official(dl_manager)
