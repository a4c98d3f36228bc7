"""Who asks, and from where: what every audit record needs to know of a request."""

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


@dataclass(frozen=True, slots=True)
class Actor:
    """The facts of one request that its audit records carry."""

    principal: str
    auth_method: str
    client_address: str
    user_agent: str
    request_id: str

    def record(
        self, operation: str, target: Target, *, outcome: str = "success", detail: str | None = None
    ) -> AuditRecord:
        """Return the record of something this actor does now."""
        repository, reference = target.repository, target.reference
        return AuditRecord(
            recorded_at=datetime.now(UTC),
            operation=operation,
            outcome=outcome,
            principal=self.principal[:255],
            auth_method=self.auth_method,
            client_address=self.client_address,
            user_agent=self.user_agent[:512],
            request_id=self.request_id,
            project=None if repository is None else project_of(repository)[:255],
            repository=None if repository is None else repository[:255],
            reference=None if reference is None else reference[:255],
            digest=target.digest,
            detail=detail,
        )
