"""First lines of the base process: `python -I start.py SOCKET`.

A file and not a module, because an isolated Python does not know where the package is until it is told.
"""

import json
import socket
import sys


def main() -> None:
    """Take the search path from the socket, find the package, go on in `pipeline.sandbox.base`."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    # Unbuffered: what follows the line is for somebody else.
    line = channel.makefile("rb", buffering=0).readline()
    sys.path[:] = json.loads(line)["path"]
    sys.dont_write_bytecode = True
    from pipeline.sandbox.base import run

    run(channel)


if __name__ == "__main__":
    main()
