"""Put on PYTHONPATH by a test: logs every file of the project that a Python process opens or imports."""

import atexit
import os
import sys

_LOG = os.environ.get("ALEXNET_RECORD_FILES")
_ROOT = os.getcwd() + os.sep
_seen: set[str] = set()


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | os.PathLike):
        path = os.path.abspath(os.fspath(arguments[0]))
        mode = arguments[1] if isinstance(arguments[1], str) else ""
        if path.startswith(_ROOT) and not set(mode) & set("wax+"):
            _seen.add(path)


def _write() -> None:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.startswith(_ROOT):
            _seen.add(path)
    if _LOG:
        with open(_LOG, "a", encoding="utf-8") as file:
            file.writelines(f"{path[len(_ROOT) :]}\n" for path in sorted(_seen))


if _LOG:
    sys.addaudithook(_note)
    atexit.register(_write)
