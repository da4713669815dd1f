"""PostgreSQL, through psycopg: how the program connects to it, and what it says when it cannot."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from recognizance.core.errors import SetupError

_OLDEST = 15
"""The oldest major version that the tests are run with."""

_CONNECTIONS = 32
"""The most connections of one process, unless the URL says otherwise: a server takes 100 by default."""

# What a session is told when it begins. A process that dies with its machine, or hangs, must not keep others from
# writing for long; nothing that the program does in one statement takes as long as this.
_SESSION = {
    "lock_timeout": "60s",
    "statement_timeout": "30min",
    "idle_in_transaction_session_timeout": "10min",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
# The same from this side: a server that is gone is noticed within a minute, and not after two hours. Parameters of
# libpq: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
_CONNECT = {
    "application_name": "recognizance",
    "connect_timeout": "10",
    "target_session_attrs": "read-write",  # of several hosts the one that takes writes
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

# What libpq or the server says when it refuses, in lower case, and the cure. The first that fits is given.
_CURES = (
    ("password authentication failed", "Check the user and the password in database_url."),
    ("no password supplied", "Put the password into database_url, or into the file that PGPASSFILE names."),
    (
        "no pg_hba.conf entry",
        "Let this machine in (pg_hba.conf on the server), or connect by TLS: ?sslmode=verify-full.",
    ),
    ("certificate", "Check sslmode and sslrootcert in database_url."),
    ("does not support ssl", "Set up TLS on the server, or drop sslmode from database_url."),
    ('role "', "Check the user in database_url, or create the role."),
    (
        "permission denied",
        "Make the database's owner the user of database_url, or grant it CREATE on the schema public.",
    ),
    ("does not exist", "Create it first: CREATE DATABASE name OWNER role ENCODING 'UTF8' TEMPLATE template0."),
    ("too many", "Raise max_connections on the server, or lower pool_size in database_url."),
    ("remaining connection slots", "Raise max_connections on the server, or lower pool_size in database_url."),
    ("starting up", "Try again in a moment."),
    ("shutting down", "Try again once the server is up."),
    ("already exists", "Give Recognizance a database of its own."),
)
_OTHERWISE = "Check that the server runs and that database_url names its host and port."


def make_engine(url: URL, **options: Any) -> Engine:  # noqa: ANN401 - SQLAlchemy's
    """Return the engine of a database on a server. ``pool_size`` in the URL is the most connections of this process.

    Raises:
        SetupError: ``pool_size`` is no number, or names too few.
    """
    query = dict(url.query)
    text = str(query.pop("pool_size", _CONNECTIONS))
    if not text.isdecimal() or int(text) < 4:
        raise SetupError("pool_size in database_url must be a number of connections, at least 4.")
    given = {name: value for name, value in _CONNECT.items() if name not in query}
    # Of an option given twice the last counts: the operator's.
    session = [f"-c {name}={value}" for name, value in _SESSION.items()] + [str(query.pop("options", ""))]
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg", query=query),
        connect_args=given | {"options": " ".join(session).strip()},
        pool_size=min(8, int(text)),
        max_overflow=max(0, int(text) - 8),
        pool_pre_ping=True,  # the server may have been restarted since
        pool_use_lifo=True,
        **options,
    )
    event.listen(engine, "handle_error", _redact_both)
    return engine


def redact(error: BaseException) -> None:
    """Take from an error of the server what follows its first line: the values of rows, which are people's names."""
    said = getattr(error, "diag", None)
    if said is not None and said.message_primary:
        error.args = (said.message_primary,)


def _redact_both(context: ExceptionContext) -> None:
    if (error := context.sqlalchemy_exception) is not None:
        full = str(context.original_exception)
        redact(context.original_exception)
        error.args = (str(error.args[0]).replace(full, str(context.original_exception)), *error.args[1:])


def check(connection: Connection) -> None:
    """Return when the server can be used.

    Raises:
        SetupError: It is too old, or the database is not kept in UTF-8.
    """
    version = connection.connection.driver_connection.info.server_version // 10_000  # type: ignore[union-attr]
    if version < _OLDEST:
        raise SetupError(f"The server is PostgreSQL {version}; Recognizance needs {_OLDEST} or newer. Upgrade it.")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise SetupError(
            f"The database is kept in {encoding}; Recognizance needs UTF8. Create it anew: CREATE DATABASE name OWNER "
            "role ENCODING 'UTF8' TEMPLATE template0."
        )


def explain(shown: str, error: BaseException | None) -> str:
    """Say what is wrong with a database that cannot be opened, and what cures it."""
    text = " ".join(str(error).split())
    cure = next((cure for sign, cure in _CURES if sign in text.lower()), _OTHERWISE)
    return f"The database {shown} cannot be opened: {text.rstrip('.?')}. {cure}"
