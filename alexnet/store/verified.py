"""Whether the shards of a store are as they were written: found out again whenever they were touched."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from alexnet.core.errors import UserError
from alexnet.core.files import CHEAP_BYTES, fingerprint, sha256_of, state_of, write_text
from alexnet.core.places import STATE
from alexnet.core.progress import bytes_in_words
from alexnet.core.terminal import say
from alexnet.store.records import SHARDS, read_shards, tar_name

FOLDER = STATE / "verified"


def refuse_damaged_shards(records: Path, state: Path = FOLDER) -> None:
    """Compare the shards of the store in `records` with their checksums, unless they were not touched since.

    A store of more than `CHEAP_BYTES` is not read; that it has not been compared is said.

    Raises:
        UserError: a shard is missing or damaged, or there is no store.
    """
    shards = _checksums(records)
    note = _note(records, state)
    try:
        now = _state_of_store(records, shards)
        # What was noted by another user, or is damaged, is found out again.
        with contextlib.suppress(OSError, ValueError):
            if note.read_text() == now:
                return
        size = sum((records / name).stat().st_size for name in shards)
        if size > CHEAP_BYTES:
            say(
                f"{records}: {bytes_in_words(size)}, not compared with their checksums since they were made"
                " or moved. To compare them: alexnet data verify"
            )
            return
        damaged = [name for name, checksum in shards.items() if sha256_of(records / name) != checksum]
    except OSError as error:
        raise UserError(
            f"{error.filename}: cannot be read: {error.strerror}. Run dvc repro -f preprocess."
        ) from None
    if damaged:
        raise UserError(
            f"{records / damaged[0]}: damaged, its bytes are not those that were written ({len(damaged)}"
            " damaged in all). Run dvc repro -f preprocess."
        )
    # As they were before: what was written meanwhile is compared the next time.
    _keep(note, now)


@contextlib.contextmanager
def noting_verified(records: Path, state: Path = FOLDER) -> Iterator[None]:
    """Remember, unless an error is raised, that the shards in `records` were compared with their checksums.

    What is written meanwhile is compared again.
    """
    before = None
    with contextlib.suppress(OSError):
        before = _state_of_store(records, _checksums(records))
    yield
    if before is not None:
        _keep(_note(records, state), before)


def _note(records: Path, state: Path) -> Path:
    return state / fingerprint(records=str(records.resolve()))


def _keep(note: Path, now: str) -> None:
    # Where nothing can be remembered, they are compared again.
    with contextlib.suppress(UserError):
        write_text(note, now)


def _checksums(records: Path) -> dict[str, str]:
    rows = read_shards(records).itertuples()
    return {tar_name(row.split, row.shard): str(row.sha256) for row in rows}


def _state_of_store(records: Path, names: Iterable[str]) -> str:
    return sha256_of(records / SHARDS) + state_of(records / name for name in names)
