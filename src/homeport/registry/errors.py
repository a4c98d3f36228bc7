"""What a repository does not have or does not allow, in the specification's codes."""

from homeport.oci.errors import OciError, OciErrorCode


class NameUnknownError(OciError):
    """There is no such repository, or nothing in it."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(OciErrorCode.NAME_UNKNOWN, detail={"name": name[:256]}, hint=hint)


class ManifestUnknownError(OciError):
    """The repository has no manifest under this tag or digest."""

    def __init__(self, name: str, reference: str) -> None:
        super().__init__(
            OciErrorCode.MANIFEST_UNKNOWN, detail={"name": name[:256], "reference": reference[:256]}
        )


class BlobUnknownToRepositoryError(OciError):
    """The repository has no such blob, wherever else it may be."""

    def __init__(self, digest: str) -> None:
        super().__init__(OciErrorCode.BLOB_UNKNOWN, detail={"digest": digest})


class MissingContentError(OciError):
    """A manifest names content that its repository does not have."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(
            OciErrorCode.MANIFEST_BLOB_UNKNOWN,
            detail=digests,
            hint="push the missing blobs and manifests first",
        )
        self.digests = digests


class StillReferencedError(OciError):
    """Other content of the repository needs what was to be deleted."""

    def __init__(self, what: str, by: str) -> None:
        super().__init__(
            OciErrorCode.UNSUPPORTED,
            f"the {what} is part of {by} in this repository",
            hint=f"delete {by} first",
        )


class StorageDamagedError(OciError):
    """Content that the database promises is not in the store as it should be."""

    def __init__(self, digest: str) -> None:
        super().__init__(
            OciErrorCode.UNKNOWN,
            "stored content is missing or damaged; the operator's log has the details",
            detail={"digest": digest},
        )
