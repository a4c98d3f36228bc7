"""Referrers: the API, and the fallback tag of registries without it (distribution-spec, "Referrers")."""

import re
from typing import Any

import orjson

from homeport.oci import mediatype
from homeport.oci.digest import Digest
from homeport.oci.manifest import Descriptor
from homeport.remote.authorization import pull_access
from homeport.remote.errors import ProtocolError
from homeport.remote.manifest import MAX_MANIFEST_BYTES, ManifestContent, read_manifest
from homeport.remote.registry import Registry, answer_error
from homeport.remote.transport import Request

MAX_REFERRERS = 10_000
MAX_PAGES = 1000

_OK = 200
_UNSUPPORTED = frozenset({400, 404, 405, 406, 501})

_LINK = re.compile(r'<([^>]*)>((?:[^,"]|"[^"]*")*)')
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:;|$)')


def fallback_tag(subject: Digest) -> str:
    """Return the tag that lists the referrers of the subject where there is no API."""
    return f"{subject.algorithm[:32]}-{subject.encoded[:64]}"


async def ask_referrers_api(
    registry: Registry, repository: str, subject: Digest
) -> tuple[Descriptor, ...] | None:
    """Return the referrers of the subject, all pages; None when the registry has no such API.

    Raises ProtocolError for an unusable list and for more than MAX_REFERRERS.
    """
    where = f"{registry.name}/{repository}"
    url = await registry.url(f"/v2/{repository}/referrers/{subject}")
    found: list[Descriptor] = []
    for page in range(MAX_PAGES):
        request = Request("GET", url, {"Accept": mediatype.OCI_INDEX}, limit_bytes=MAX_MANIFEST_BYTES)
        answer = await registry.call(request, pull_access(repository))
        content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        is_index = answer.status == _OK and content_type == mediatype.OCI_INDEX
        if page == 0 and not is_index and answer.status in {_OK, *_UNSUPPORTED}:
            return None
        if not is_index:
            raise answer_error(registry.name, f"the referrers of {subject}", answer.status, answer.body)
        found.extend(read_manifest(where, answer.body, mediatype.OCI_INDEX, None).manifest.manifests)
        if len(found) > MAX_REFERRERS:
            raise ProtocolError(f"{where}: {subject} has more than {MAX_REFERRERS} referrers")
        following = next_page(answer.headers.getall("Link", []))
        if following is None:
            return tuple(found)
        url = registry.transport.derive(answer.url, following)
    raise ProtocolError(f"{where}: the referrers of {subject} have more than {MAX_PAGES} pages")


def next_page(links: list[str]) -> str | None:
    """Return the target of the link with `rel=next` (RFC 8288), None when there is none."""
    for value in links:
        for target, parameters in _LINK.findall(value):
            if _NEXT.search(parameters):
                return str(target)
    return None


def add_referrer(index: ManifestContent | None, referrer: ManifestContent) -> bytes | None:
    """Return the fallback index with the referrer in it, None when it is already there.

    What the index has beside its manifests is kept.
    """
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": mediatype.OCI_INDEX, "manifests": []}
    if index is not None and index.manifest.is_index:
        if any(child.digest == referrer.digest for child in index.manifest.manifests):
            return None
        document = orjson.loads(index.body)
    document["manifests"].append(describe_referrer(referrer))
    return orjson.dumps(document)


def describe_referrer(content: ManifestContent) -> dict[str, object]:
    """Return the descriptor of a referrer as the list of referrers shows it."""
    entry: dict[str, object] = {
        "mediaType": content.media_type,
        "digest": str(content.digest),
        "size": len(content.body),
    }
    if content.manifest.referrer_type:
        entry["artifactType"] = content.manifest.referrer_type
    if content.manifest.annotations:
        entry["annotations"] = content.manifest.annotations
    return entry
