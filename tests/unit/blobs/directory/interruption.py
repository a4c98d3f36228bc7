"""Something happens between two calls to the operating system."""

import sys
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def before_each(names: Container[str], action: Callable[[str], object]) -> Iterator[None]:
    """Do the action before each call of these C functions, in this thread and in those that begin meanwhile.

    It gets the function's name; what it calls itself does not count.
    """

    def look(_frame: FrameType, event: str, function: object) -> None:
        name = getattr(function, "__name__", "")
        if event == "c_call" and name in names:
            action(name)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
