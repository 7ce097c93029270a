"""First lines of the warden's process: `python -I start.py SOCKET`.

A file and not a module, because an isolated Python does not know where the package is until it is told.
Nothing is imported here that reads or computes: the process is not confined yet.
"""

import json
import socket
import sys


def main() -> None:
    """Take the settings from the socket, find the package, go on in `pipeline.sandbox.warden`."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    line = channel.makefile("rb", buffering=0).readline()
    settings = json.loads(line)
    sys.path[:] = settings["path"]
    sys.dont_write_bytecode = True
    from pipeline.sandbox.warden import run

    run(channel, settings)


if __name__ == "__main__":
    main()
