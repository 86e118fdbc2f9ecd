"""What must be so in the environment before torch is loaded."""

import getpass
import os
import sys
import tempfile

from alexnet.core.terminal import say

_COMPILED = "TORCHINDUCTOR_CACHE_DIR"


def prepare_environment() -> None:
    """Set what torch reads when it is loaded, unless the user has set it and it works."""
    # Threads of OpenMP spin while they wait for each other, by default for 300,000 turns. Beside another busy
    # program they then take the cores from those that they wait for (python -m benchmarks.busy). After this
    # many turns they sleep.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    place = os.environ.get(_COMPILED)
    try:
        if place:
            # torch makes this folder when it is imported, whether or not anything is compiled.
            os.makedirs(place, exist_ok=True)
        else:
            getpass.getuser()
    except (OSError, KeyError) as error:
        # The folder cannot be made; or the user has no name, from which torch makes the default folder's.
        own = os.path.join(tempfile.gettempdir(), f"torchinductor_{os.getuid()}")
        if place:
            say(f"{_COMPILED}: {place} cannot be made ({error}); used is {own}", sys.stderr)
        os.environ[_COMPILED] = own
