"""Which files of a source are pictures: the one rule for all layouts.

Files and folders that systems leave beside pictures are never looked at. A file with the suffix of a picture
is taken for one, and preprocess decides by its content. Any other file is a picture if it begins like one; if
not, it is left out, and counted and named as such.
"""

from collections.abc import Callable
from pathlib import PurePosixPath

SUFFIXES = (
    *(".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".avif", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
JUNK = {
    *("__MACOSX", "@eaDir", "lost+found", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN"),
    *("System Volume Information", "Icon\r"),
}
# How much of a file tells what it is.
HEAD = 32
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
)
# The sizes that the second header of a BMP can have.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
NOT_UTF8 = "name not in UTF-8"


def is_junk(path: str) -> bool:
    """Whether a file or folder, or one above it, is of those that no source holds on purpose."""
    return any(part.startswith(".") or part in JUNK for part in path.split("/"))


def why_left_out(name: str, head: Callable[[], bytes]) -> str:
    """Return why the file `name` is no picture, or "" if it is one; `head` returns its first `HEAD` bytes."""
    if name.lower().endswith(SUFFIXES) or begins_like_a_picture(head()):
        return ""
    return f"no picture: {PurePosixPath(name).suffix.lower() or 'without a suffix'}"


def begins_like_a_picture(head: bytes) -> bool:
    """Whether the first `HEAD` bytes are those of a JPEG, PNG, GIF, TIFF, JPEG 2000, WebP, AVIF or BMP."""
    return (
        head.startswith(_BEGINNINGS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and b"avif" in head[8:])
        or (head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS)
    )


def is_utf8(name: str) -> bool:
    """Whether a file's name can be written down; bytes that are no UTF-8 come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
