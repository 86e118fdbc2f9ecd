"""Pictures and tables in folders: on disk, or inside a zip."""

import contextlib
import functools
import os
import stat
import zipfile
import zlib
from pathlib import Path

import pandas as pd

from alexnet.core.errors import UserError
from alexnet.ingest.sources.archives import AGAIN, scan_zip
from alexnet.ingest.sources.listing import Scan, as_text, refuse_duplicates
from alexnet.ingest.sources.pictures import HEAD, NOT_UTF8, SUFFIXES, is_junk, is_utf8, why_left_out

# A list of all of ImageNet's pictures has 60 MB.
MAX_TEXT_BYTES = 300_000_000
NOWHERE = "a link that leads nowhere"
FOUND = ["folder", "name", "path", "packing", "offset", "size", "reason"]


class Folder:
    """Files on disk."""

    def __init__(self, root: Path) -> None:
        self.where = self.beside = root

    def tops(self) -> list[str]:
        """List the folders in which ``train`` may lie, "" being the root itself."""
        return [""]

    def has(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return (self.where / folder).is_dir()

    def folders(self, folder: str) -> list[str]:
        """List the folders in `folder`, but those of the system."""
        return [entry.name for entry in self._entries(folder) if stat.S_ISDIR(_status(entry).st_mode)]

    def files(self, folder: str) -> pd.DataFrame:
        """List the files in `folder` and below it, one row each; the system's are not among them.

        Its columns are folder (empty, or the way from `folder`), name, path, packing, offset, size, and the
        reason why it is no picture, empty if it is one.
        """
        return pd.DataFrame(self._files(folder, ""), columns=FOUND)

    def _files(self, folder: str, inside: str) -> list[tuple[str, str, str, str, int, int, str]]:
        place = below(folder, inside)
        rows: list[tuple[str, str, str, str, int, int, str]] = []
        for entry in self._entries(place):
            name, status = entry.name, _status(entry)
            # Links in a class's folder are followed once, as they can lead in circles.
            is_folder = stat.S_ISDIR(status.st_mode) and not ("/" in inside and entry.is_symlink())
            if is_folder and (deeper := self._files(folder, below(inside, name))):
                rows += deeper
            elif is_folder and not name.lower().endswith(SUFFIXES):
                continue
            elif not is_utf8(f"{place}/{name}"):
                # They can be shown with escapes, but not be written down.
                shown = [text.encode("utf-8", "backslashreplace").decode() for text in (inside, name)]
                rows.append((shown[0], shown[1], "", "none", 0, 0, NOT_UTF8))
            else:
                # A folder, pipe or device that is named as a picture is one that preprocess skips by name.
                is_file = stat.S_ISREG(status.st_mode)
                reason = why_left_out(name, functools.partial(_head, entry.path) if is_file else bytes)
                reason = reason if status.st_mode else NOWHERE
                size = status.st_size if is_file else 0
                rows.append((inside, name, below(place, name), "none", 0, size, reason))
        return rows

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return what is in `folder` by name, but the files and folders of the system."""
        try:
            with os.scandir(self.where / folder) as entries:
                return sorted(
                    (entry for entry in entries if not is_junk(entry.name)), key=lambda entry: entry.name
                )
        except OSError as error:
            raise UserError(f"{self.where / folder}: cannot be read: {error.strerror or error}") from None

    def holds(self, name: str) -> bool:
        """Whether there is the file `name`."""
        return (self.where / name).is_file()

    def text(self, name: str) -> str:
        """Return the text of a file."""
        return as_text((self.where / name).read_bytes(), self.where / name)


class Zip:
    """Files inside a zip; the methods are those of `Folder`."""

    def __init__(self, path: Path, scan: Scan) -> None:
        found = scan(path, scan_zip)
        # Some programs name what lies below a folder from there, as ./train/a/1.jpg.
        found = found.assign(member=found["name"], name=found["name"].str.removeprefix("./"))
        self.where, self.beside = path, path.parent
        self._found = found[~found["name"].map(is_junk).astype(bool)]

    def tops(self) -> list[str]:
        return ["", *sorted(self._found["name"].str.split("/").str[0].unique())]

    def has(self, folder: str) -> bool:
        return not self._below(folder).empty

    def folders(self, folder: str) -> list[str]:
        inside = self._below(folder)["inside"]
        return list(inside[inside.str.contains("/")].str.split("/").str[0].unique())

    def files(self, folder: str) -> pd.DataFrame:
        found = self._below(folder)
        refuse_duplicates(self.where, found["inside"])
        with zipfile.ZipFile(self.where) as packed:
            heads = [functools.partial(_packed_head, packed, member) for member in found["member"]]
            found["reason"] = [why_left_out(*pair) for pair in zip(found["name"], heads, strict=True)]
        found[["folder", "name"]] = found["inside"].str.rpartition("/")[[0, 2]].to_numpy()
        return found.assign(path=self.where.name, packing="zip")[FOUND].reset_index(drop=True)

    def holds(self, name: str) -> bool:
        return bool((self._found["name"] == name).any())

    def text(self, name: str) -> str:
        member = self._found.loc[self._found["name"] == name, "member"].iloc[0]
        try:
            with zipfile.ZipFile(self.where) as packed:
                if packed.getinfo(member).file_size > MAX_TEXT_BYTES:
                    raise UserError(f"{self.where}: {name} unpacks to more than {MAX_TEXT_BYTES:,} bytes")
                content = packed.read(member)
        except (zipfile.BadZipFile, zlib.error, OSError) as error:
            raise UserError(f"{self.where}: {name} cannot be read ({error}). {AGAIN}") from None
        return as_text(content, f"{self.where}/{name}")

    def _below(self, folder: str) -> pd.DataFrame:
        """Return the members below `folder`, with their way from there as `inside`."""
        prefix = f"{folder}/" if folder else ""
        found = self._found[self._found["name"].str.startswith(prefix)]
        return found.assign(inside=found["name"].str.removeprefix(prefix))


Tree = Folder | Zip


def below(folder: str, name: str) -> str:
    """Return the way to `name` in `folder`; either may be empty."""
    return "/".join(part for part in (folder, name) if part)


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    with contextlib.suppress(OSError):
        return entry.stat()
    # A link that leads nowhere or to itself, or what is gone by now: neither file nor folder.
    return os.stat_result([0] * 10)


def _head(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(HEAD)
    return b""


def _packed_head(packed: zipfile.ZipFile, name: str) -> bytes:
    try:
        with packed.open(name) as file:
            return file.read(HEAD)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError):
        return b""
