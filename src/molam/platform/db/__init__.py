"""PostgreSQL: transactions you can see in a signature, and SQL that is checked."""

from molam.platform.db.locks import Rank
from molam.platform.db.pool import ProcessRole, open_database
from molam.platform.db.transaction import Database, Query, Tx, assert_no_transaction

__all__ = [
    "Database",
    "ProcessRole",
    "Query",
    "Rank",
    "Tx",
    "assert_no_transaction",
    "open_database",
]
