"""Weights and optimizer, as a training goes on from them."""

import dataclasses
import pathlib
import warnings

from kzoo import UserError, files

MADE = "kzoo_made"  # attribute of a state: how many epochs or rounds it has seen


@dataclasses.dataclass(frozen=True)
class State:
    """A file with weights and optimizer of a compiled network."""

    path: pathlib.Path

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def save(self, model, made: int | None = None):
        """made: how many epochs, or rounds, it has seen; kept in the file, so that neither can be without the other."""
        import h5py

        with files.replacing(self.path) as temporary:
            model.save_weights(temporary)
            if made is not None:
                with h5py.File(temporary, "a") as file:
                    file.attrs[MADE] = made

    def made(self) -> int | None:
        """How many epochs, or rounds, it has seen; None where it does not tell, as those of version 0.1.

        Raises:
            UserError: it cannot be read.
        """
        import h5py

        try:
            with h5py.File(self.path) as file:
                value = file.attrs.get(MADE)
                return None if value is None else int(value)
        except Exception as error:  # HDF5 has one of its own for each kind of damage
            raise UserError(f"cannot resume from {self.path}: {files.first_line(error)}") from error

    def load(self, model) -> int | None:
        """Into a compiled network whose optimizer is built; gives `made`.

        Raises:
            UserError: it does not fit, or cannot be read.
        """
        made = self.made()
        try:
            with warnings.catch_warnings():  # Keras leaves an optimizer that does not fit as it is, and only warns
                warnings.filterwarnings("error", message="Skipping variable loading")
                model.load_weights(self.path)
        except Exception as error:  # HDF5 and Keras have one of their own for each kind of damage
            raise UserError(f"cannot resume from {self.path}: {files.first_line(error)}") from error
        return made
