"""One short command a stage: read parameters, call `alexnet`, write outputs. No logic lives here."""

import os
import signal
import sys
from typing import Any


def _interrupted(*_: Any) -> None:
    os.write(2, b"interrupted\n")
    os._exit(130)


# Ctrl-C while `python -m stages.NAME` still imports what it needs; `alexnet.core.stage.run` takes over.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupted)
