"""Run servers until Ctrl-C, for several runs of the tests: ``python -m tests.servers redis``.

Prints the variables that lead the tests to them.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import suppress

from . import URLS, ProgramMissing, Server


def main() -> None:
    """Start what the arguments name, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers")
    parser.add_argument("server", nargs="+", choices=sorted(URLS.keys() - {"broker"}))
    for name in parser.parse_args().server:
        server = Server(name)
        try:
            server.start()
        except ProgramMissing as error:
            sys.exit(str(error))
        print(f"export TEST_{name.upper()}_URL={server.url}", flush=True)
    with suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main()
