"""Pictures and tables in folders: on disk, or inside a zip."""

import os
import zipfile
import zlib
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.archives import AGAIN, scan_zip
from alexnet.ingest.sources.listing import PICTURE_SUFFIXES, Scan, as_text, refuse_duplicates

FOUND = ["folder", "name", "path", "packing", "offset", "size"]


class Folder:
    """Files on disk."""

    def __init__(self, root: Path) -> None:
        self.where = root

    def tops(self) -> list[str]:
        """List the folders in which ``train`` may lie besides the root itself."""
        return []

    def has(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return (self.where / folder).is_dir()

    def folders(self, folder: str) -> list[str]:
        """List the folders in `folder`."""
        return [entry.name for entry in self._entries(folder) if _is_folder(entry)]

    def pictures(self, folder: str) -> pd.DataFrame:
        """List the pictures in `folder` and below it, one row per picture.

        Its columns are folder (empty, or the way from `folder`), name, path, packing, offset and size.
        """
        return pd.DataFrame(self._pictures(folder, ""), columns=FOUND)

    def _pictures(self, folder: str, inside: str) -> list[tuple[str, str, str, str, int, int]]:
        place = below(folder, inside)
        rows: list[tuple[str, str, str, str, int, int]] = []
        for entry in sorted(self._entries(place), key=lambda entry: entry.name):
            # Links in a class's folder are followed once, as they can lead in circles.
            is_folder = _is_folder(entry, follow_links="/" not in inside)
            # A folder that is named as a picture gets a row, so that preprocess names it as skipped.
            if is_folder and (deeper := self._pictures(folder, below(inside, entry.name))):
                rows += deeper
            elif entry.name.lower().endswith(PICTURE_SUFFIXES):
                rows.append((inside, entry.name, f"{place}/{entry.name}", "none", 0, _size(entry)))
        return rows

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.where / folder) as entries:
                return list(entries)
        except OSError as error:
            raise UserError(f"{self.where / folder}: cannot be read: {error.strerror or error}") from None

    def text(self, name: str) -> str | None:
        """Return the text of a file, or None when it is not there.

        Raises:
            UserError: it cannot be read, or is not in UTF-8.
        """
        path = self.where / name
        return as_text(path.read_bytes(), path) if path.is_file() else None


class Zip:
    """Files inside a zip; the methods are those of `Folder`."""

    def __init__(self, path: Path, scan: Scan) -> None:
        self.where, self._found = path, scan(path, scan_zip)

    def tops(self) -> list[str]:
        return sorted(self._found["name"].str.partition("/")[0].unique())

    def has(self, folder: str) -> bool:
        return not self._below(folder).empty

    def folders(self, folder: str) -> list[str]:
        parts = self._below(folder)["inside"].str.partition("/")
        return list(parts[0][parts[1] == "/"].unique())

    def pictures(self, folder: str) -> pd.DataFrame:
        found = self._below(folder)
        found = found[found["name"].str.lower().str.endswith(PICTURE_SUFFIXES)]
        refuse_duplicates(self.where, found["inside"])
        parts = found["inside"].str.rpartition("/")
        rows = found.assign(folder=parts[0], name=parts[2], path=self.where.name, packing="zip")
        return rows[FOUND].reset_index(drop=True)

    def text(self, name: str) -> str | None:
        if name not in self._found["name"].array:
            return None
        try:
            with zipfile.ZipFile(self.where) as packed:
                content = packed.read(name)
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise UserError(f"{self.where}: {name} cannot be read ({error}). {AGAIN}") from None
        return as_text(content, f"{self.where}/{name}")

    def _below(self, folder: str) -> pd.DataFrame:
        """Return the members below `folder`, with their way from there as `inside`."""
        found = self._found[self._found["name"].str.startswith(f"{folder}/")]
        return found.assign(inside=found["name"].str.removeprefix(f"{folder}/"))


Tree = Folder | Zip


def below(folder: str, name: str) -> str:
    """Return the way to `name` in `folder`; either may be empty."""
    return "/".join(part for part in (folder, name) if part)


def _is_folder(entry: os.DirEntry[str], follow_links: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:
        # A link that leads to itself.
        return False


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size if entry.is_file() else 0
    except OSError:
        return 0
