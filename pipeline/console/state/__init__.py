"""What the console remembers: users, sessions, cases, notes, verdicts on their way into the lake. One SQLite file."""

from pipeline.console.state.cases import Cases
from pipeline.console.state.database import Database
from pipeline.console.state.users import ROLES, Users

__all__ = ["ROLES", "Cases", "Database", "Users"]
