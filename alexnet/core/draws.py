"""Random numbers keyed by their meaning, never by process, worker, batch or device.

Every draw in `alexnet/` names a seed, a purpose and its counters (an epoch, a step). The same
names give the same numbers in any order of asking, so restarts, ranks and loaders cannot change
an experiment. NumPy's Philox (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3")
serves everything drawn on the host.
"""

import hashlib

import numpy as np


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return the generator that belongs to (`seed`, `purpose`, `counters`).

    Args:
        seed: the experiment's seed, at least 0.
        purpose: what the numbers are for, e.g. ``"order"``; each purpose has its own stream.
        counters: further names, each at least 0, e.g. the epoch.
    """
    name = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, name, *counters))))
