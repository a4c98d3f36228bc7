"""Which resource a path under /v2 names (distribution-spec, "Endpoints")."""

import re
from dataclasses import dataclass
from enum import Enum

_PATH = re.compile(
    r"/v2/(?P<name>.+)/(?:"
    r"manifests/(?P<manifest>[^/]+)"
    r"|blobs/uploads(?P<uploads>/?)"
    r"|blobs/uploads/(?P<upload>[^/]+)"
    r"|blobs/(?P<blob>[^/]+)"
    r"|tags/(?P<tags>list)"
    r"|referrers/(?P<referrers>[^/]+)"
    r")",
    re.DOTALL,
)


class Resource(Enum):
    """The kinds of resource."""

    PING = "ping"
    CATALOG = "catalog"
    EXTENSIONS = "extensions"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    TAGS = "tags"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Route:
    """A resource, the repository it is in (empty for the registry's own) and what stands at its end."""

    resource: Resource
    name: str = ""
    argument: str = ""


_FIXED = {
    "/v2/": Route(Resource.PING),
    "/v2": Route(Resource.PING),
    "/v2/_catalog": Route(Resource.CATALOG),
    "/v2/_oci/ext/discover": Route(Resource.EXTENSIONS),
}
_GROUPS = (
    ("manifest", Resource.MANIFEST),
    ("blob", Resource.BLOB),
    ("upload", Resource.UPLOAD),
    ("uploads", Resource.UPLOADS),
    ("tags", Resource.TAGS),
    ("referrers", Resource.REFERRERS),
)


def match_path(path: str) -> Route | None:
    """Return the route of a decoded path, or None when it names nothing.

    A repository name may hold the words `blobs`, `manifests`, `tags` and `uploads`: the last one counts.
    Neither the name nor the argument is checked here.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return _FIXED.get(path)
    for group, resource in _GROUPS:
        argument = match[group]
        if argument is not None:
            return Route(resource, match["name"], argument)
    return None
