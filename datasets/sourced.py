"""What builders share whose raw data is the user's own folder."""

import tensorflow_datasets as tfds


class Sourced:
    """Before `tfds.core.GeneratorBasedBuilder` in a builder's bases; the builder has `find_source`: path -> source with
    a `path`, and keeps `source_path` and `counts` (by split, what was read and left out) in its metadata."""

    def __init__(self, *, data_source=None, **kwargs):
        """`data_source`: the folder with the raw data or the one that holds it; None: the manual folder."""
        self._data_source = data_source
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
                    f"{self.data_dir} was prepared from {found}, not from {wanted}: choose another data_dir or remove it"
                )
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _download_and_prepare(self, dl_manager, download_config):
        """Prints the counts when all is prepared."""
        super()._download_and_prepare(dl_manager, download_config)
        for split, counts in self.info.metadata["counts"].items():
            names = [f"S{subject}" for subject in self.info.metadata.get("subjects", {}).get(split, ())]
            who = f"{' '.join(names)}: " if names else ""
            print(f"{self.name} {split}: {who}{', '.join(f'{key} {value}' for key, value in counts.items() if value)}")

    def _source(self, dl_manager):
        """The raw data that was asked for."""
        return self.find_source(dl_manager.manual_dir if self._data_source is None else self._data_source)
