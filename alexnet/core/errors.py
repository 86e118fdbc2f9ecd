"""The one exception that means "the user can correct this", and how commands show it."""

import functools
import sys
from collections.abc import Callable
from typing import Any

from alexnet.core.terminal import say


class UserError(Exception):
    """A mistake in the input, described in one line: what, found, allowed, and what to do."""


class HeldError(UserError):
    """Another process holds a folder of state."""


class DivergedError(UserError):
    """The loss of a training is not finite any more."""


def shown_plainly(command: Callable[..., Any]) -> Callable[..., None]:
    """Wrap `command`: a `UserError` becomes one line on stderr and status 1; bugs keep their traceback."""

    @functools.wraps(command)
    def shown(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except UserError as error:
            say(f"error: {error}", sys.stderr)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            say("interrupted", sys.stderr)
            raise SystemExit(130) from None

    return shown
