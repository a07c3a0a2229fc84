"""From the `file_name` of an image record to the picture that it names, and to no other one.

1. The name is joined to the places of the source. Places of the split come first (images/train2017, images/train,
   train2017, train), then those of all splits (images, the folder itself). Where two places of one rank hold different
   files of that name, none is chosen: one line.
2. An absolute name is taken where its file is there.
3. Else the folders in front of the name are dropped, one by one, as long as no other record of the source could mean
   the same file: that is counted.

Windows' separators are understood; names count as equal whatever their Unicode form (macOS writes decomposed ones) or
the encoding that an old archive or disk wrote them in, where only one file has such a name. Names with ".." are
refused.
"""

import collections
import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from kzoo.datasets.pictures import composed, content_of, printable

_DRIVE = re.compile(r"[A-Za-z]:")


class Names:
    """The pictures of one split of a source.

    Args:
      places: of the split and of all splits: two lists of folders, on disk or in a zip, that names are joined to.
      all_names: gives the file names of all records of the source; asked once, when folders must be dropped.
      counts: "found_without_folders" is counted.
    """

    def __init__(self, places: Sequence[Sequence], all_names: Callable[[], list[str]], counts: dict):
        self._places = places
        self._all_names = all_names
        self._counts = counts
        self._listings = {}
        self._endings = None

    def find(self, name: str):
        """The path of the picture; FileNotFoundError or ValueError in one line where there is none, or not one."""
        parts = _parts(name)
        if _is_absolute(name) and self._on_disk and os.path.isfile(name):
            return pathlib.Path(name)
        found = self._joined(parts, name)
        if found is None:
            found = self._without_folders(parts, name)
            self._counts["found_without_folders"] += found is not None
        if found is None:
            looked = ", ".join(printable(place) for rank in self._places for place in rank)
            raise FileNotFoundError(f"{printable(name)}: picture is missing; looked in {looked}")
        return found

    def check_once(self, table):
        """Refuses two image records of a table that name one picture: labels of the one would be missing in the
        other, or one of them was meant for another picture."""
        named = {}
        for key, image in table.images.items():
            try:
                name = _key(_parts(image["file_name"]))
            except ValueError:  # such a name is refused at its own record
                continue
            if name in named:
                raise ValueError(
                    f"{table.name}: images {named[name]} and {key} are both called {printable(image['file_name'])}; "
                    "each picture may be listed once"
                )
            named[name] = key

    @property
    def _on_disk(self) -> bool:
        return all(isinstance(place, pathlib.Path) for rank in self._places for place in rank)

    def _joined(self, parts, name):
        """The file of this name in the first rank of places that has one."""
        for rank in self._places:
            found = [path for place in rank if (path := self._in(place, parts)) is not None]
            if len(found) > 1 and len({content_of(path) for path in found}) > 1:
                both = " and ".join(map(printable, found))
                raise ValueError(f"{printable(name)} names two different pictures: {both}; remove one of them")
            if found:
                return found[0]
        return None

    def _without_folders(self, parts, name):
        """The file of the longest end of the name, if the name of no other record ends so."""
        if self._endings is None:
            self._endings = collections.Counter()
            for other in set(self._all_names()):
                with contextlib.suppress(ValueError):  # such a name is refused at its own record
                    self._endings.update(_endings(_parts(other)))
        for ending in _endings(parts)[1:]:
            found = self._joined(ending, name)
            if found is not None:
                return found if self._endings[_key(ending)] <= 1 else None
        return None

    def _in(self, place, parts):
        """The file `parts` in a place, or None."""
        path = place.joinpath(*parts)
        if _is_file(path):
            return path
        path = place
        for part in parts:
            alike = self._listing(path).get(composed(part), [])
            if part in alike:
                alike = [part]
            if len(alike) != 1:
                return None
            path = path / alike[0]
        return path if _is_file(path) else None

    def _listing(self, folder) -> dict[str, list[str]]:
        """Name in one form -> names in a folder."""
        key = str(folder)
        if key not in self._listings:
            listing = collections.defaultdict(list)
            for child in folder.iterdir() if folder.is_dir() else ():
                for form in sorted(_forms(child.name)):
                    listing[form].append(child.name)
            self._listings[key] = listing
        return self._listings[key]


def _parts(name: str) -> list[str]:
    """Folders and file of a name, without a drive or root; (".", "") are no folders."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{printable(name)}: a name with '..' leaves its folder; give it from the folder of pictures")
    if parts and _DRIVE.fullmatch(parts[0]):
        parts = parts[1:]
    if not parts:
        raise ValueError(f"{printable(name)!r} names no file")
    return parts


def _is_absolute(name) -> bool:
    return name.startswith("/")


def _is_file(path) -> bool:
    """Names that no file can have, too long ones for instance, are those of no file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _endings(parts) -> list[tuple[str, ...]]:
    """(a, b, c), (b, c), (c,), each part in one form."""
    return [_key(parts[start:]) for start in range(len(parts))]


def _key(parts) -> tuple[str, ...]:
    return tuple(map(composed, parts))


def _forms(name: str) -> set[str]:
    """What a name of a file may be meant to be: as it is; UTF-8 that a zip did not declare; Latin of an old disk."""
    forms = {composed(name)}
    try:
        forms.add(composed(name.encode("cp437").decode("utf-8")))
    except UnicodeError:
        pass
    if any(0xDC80 <= ord(letter) <= 0xDCFF for letter in name):  # bytes that are no UTF-8
        forms.add(composed(os.fsencode(name).decode("latin-1")))
    return forms
