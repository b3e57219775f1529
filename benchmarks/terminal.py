"""Say what is going on."""

import sys


def say(text: str, *, transient: bool = False) -> None:
    """Write a line; a ``transient`` one is replaced by the next, and left out where none can see it."""
    if transient and not sys.stderr.isatty():
        return
    stream = sys.stderr if transient else sys.stdout
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    if clear:
        sys.stderr.write(clear)
        sys.stderr.flush()
    stream.write(text if transient else text + "\n")
    stream.flush()
