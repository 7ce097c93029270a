"""The console: a lake in a browser, for people who decide about accounts.

Pages are rendered on the server, their addresses hold their state, and every figure on them comes from a playbook that
ran in the sandbox and stands in the record.
"""

from pipeline.console.app import Console, create_app
from pipeline.console.settings import ConsoleSettings

__all__ = ["Console", "ConsoleSettings", "create_app"]
