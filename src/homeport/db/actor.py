"""Who asks, and from where: what every audit record needs to know of a request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from homeport.db.audit import AuditRecord
from homeport.db.repositories import project_of


@dataclass(frozen=True, slots=True)
class Target:
    """What a record is about; a field is None where it does not apply."""

    repository: str | None = None
    reference: str | None = None
    digest: str | None = None
    # of what is about a project and no repository of it
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """The facts of one request that its audit records carry."""

    principal: str
    auth_method: str
    client_address: str
    user_agent: str
    request_id: str

    def record(  # noqa: PLR0913 - the facts of a record, each by its name
        self,
        operation: str,
        target: Target,
        *,
        outcome: str = "success",
        detail: str | None = None,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
    ) -> AuditRecord:
        """Return the record of something this actor does now.

        For changes of accounts, rights and policies, `before` and `after` are what was there and what is
        there now, of what changed, ready for JSON; None where there was or is nothing. Never a secret.
        """
        repository, reference = target.repository, target.reference
        project = target.project if repository is None else project_of(repository)
        return AuditRecord(
            recorded_at=datetime.now(UTC),
            operation=operation,
            outcome=outcome,
            principal=self.principal[:255],
            auth_method=self.auth_method,
            client_address=self.client_address,
            user_agent=self.user_agent[:512],
            request_id=self.request_id,
            project=None if project is None else project[:255],
            repository=None if repository is None else repository[:255],
            reference=None if reference is None else reference[:255],
            digest=target.digest,
            detail=detail,
            before=None if before is None else _as_json(before),
            after=None if after is None else _as_json(after),
        )


def _as_json(state: Mapping[str, object]) -> str:
    return json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
