"""Wrong passwords per account and address, and the addresses that accounts are known at."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from homeport.db.dialect import insert_or_replace, locked
from homeport.db.schema import login_address, login_failure, user_account
from homeport.rules.login_throttle import Failures, LoginHistory, count_failure, counts_for_address


@dataclass(frozen=True, slots=True)
class LoginSubjects:
    """Whom an attempt is counted for. The account need not exist; `address` is a throttled address."""

    username: str
    address: str

    @property
    def pair(self) -> str:
        """The account at this address."""
        return f"pair:{self.address}|{self.username}"[:_MAX_SUBJECT]

    @property
    def by_address(self) -> str:
        """The address, whatever the account."""
        return f"address:{self.address}"

    @property
    def by_account(self) -> str:
        """The account, wherever from."""
        return f"account:{self.username}"[:_MAX_SUBJECT]


_MAX_SUBJECT = 320


def find_login_history(connection: Connection, subjects: LoginSubjects, user_id: int | None) -> LoginHistory:
    """Return what is known of the account and the address; `user_id` is None for an unknown account."""
    rows = connection.execute(
        select(login_failure.c.subject, login_failure.c.failures, login_failure.c.last_failure_at).where(
            login_failure.c.subject.in_((subjects.pair, subjects.by_address, subjects.by_account))
        )
    )
    found = {subject: Failures(failures, last_at) for subject, failures, last_at in rows}
    last_success_at: datetime | None = connection.execute(
        select(login_address.c.last_success_at).where(
            login_address.c.user_id == (user_id or 0), login_address.c.address == subjects.address
        )
    ).scalar()
    return LoginHistory(
        pair=found.get(subjects.pair, Failures()),
        address=found.get(subjects.by_address, Failures()),
        account=found.get(subjects.by_account, Failures()),
        last_success_at=last_success_at,
    )


def record_login_failure(
    connection: Connection, subjects: LoginSubjects, now: datetime, *, is_known_address: bool
) -> None:
    """Count a wrong password: for the pair, and for account and address unless they know each other."""
    pair = _count(connection, subjects.pair, now)
    if is_known_address:
        return
    _count(connection, subjects.by_account, now)
    if counts_for_address(pair):
        _count(connection, subjects.by_address, now)


def _count(connection: Connection, subject: str, now: datetime) -> Failures:
    row = connection.execute(
        locked(
            connection,
            select(login_failure.c.failures, login_failure.c.last_failure_at).where(
                login_failure.c.subject == subject
            ),
        )
    ).first()
    failures = count_failure(Failures() if row is None else Failures(*row), now)
    insert_or_replace(
        connection,
        login_failure,
        {"subject": subject, "failures": failures.count, "last_failure_at": failures.last_at},
    )
    return failures


def record_login_success(
    connection: Connection, subjects: LoginSubjects, user_id: int, now: datetime
) -> None:
    """Remember that the account is known at the address, and forget the pair's failures."""
    connection.execute(delete(login_failure).where(login_failure.c.subject == subjects.pair))
    user = select(user_account.c.id).where(user_account.c.id == user_id)
    if connection.execute(locked(connection, user)).first() is None:
        return
    insert_or_replace(
        connection,
        login_address,
        {"user_id": user_id, "address": subjects.address, "last_success_at": now},
    )


def forget_login_failures(connection: Connection, username: str) -> None:
    """Forget the account's failures everywhere; those of addresses with other accounts stay."""
    subject = login_failure.c.subject
    is_pair = subject.startswith("pair:") & subject.endswith(f"|{username}", autoescape=True)
    is_account = subject == LoginSubjects(username, "").by_account
    connection.execute(delete(login_failure).where(is_pair | is_account))


def delete_login_failures_before(connection: Connection, moment: datetime) -> int:
    """Delete failures that are forgotten; returns how many subjects."""
    return connection.execute(delete(login_failure).where(login_failure.c.last_failure_at < moment)).rowcount


def delete_login_addresses_before(connection: Connection, moment: datetime) -> int:
    """Delete addresses that an account has not signed in from since; returns how many."""
    return connection.execute(delete(login_address).where(login_address.c.last_success_at < moment)).rowcount
