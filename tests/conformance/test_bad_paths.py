"""Bad input in request lines: every path gets its error, none leads outside, none is a server error."""

import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.conftest import VICTIM
from tests.conformance.content import ABSENT, BLOB, IMAGE, OCI_MANIFEST
from tests.conformance.wire import Registry, encode_head

REFUSED = frozenset({400, 404, 414})

PATHS = [
    "/v2/../etc/passwd",
    "/v2/../../../../../../etc/passwd",
    "/v2/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/v2/..%2f..%2f..%2fetc%2fpasswd",
    "/v2/%2e%2e%2fsecrets%2finstance.key/manifests/latest",
    f"/v2/hostile/../{VICTIM}/manifests/latest",
    "/v2/hostile/./victim/manifests/latest",
    "/v2/hostile//victim/manifests/latest",
    "/v2//hostile/victim/manifests/latest",
    "/v2//manifests/latest",
    "/v2/ /manifests/latest".replace(" ", "%20"),
    "/v2/./manifests/latest",
    "/v2/../manifests/latest",
    f"/v2/{VICTIM}/../victim/manifests/latest",
    f"/v2/{VICTIM}/manifests/..",
    f"/v2/{VICTIM}/manifests/.",
    f"/v2/{VICTIM}/manifests/%2e%2e",
    f"/v2/{VICTIM}/manifests/..%2f..%2fhomeport.db",
    f"/v2/{VICTIM}/manifests/latest%00",
    f"/v2/{VICTIM}/manifests/%00",
    f"/v2/{VICTIM}/manifests/latest%0d%0aX-Evil:%20yes",
    f"/v2/{VICTIM}/manifests/latest%20",
    f"/v2/{VICTIM}/manifests/%6catest%ff",
    f"/v2/{VICTIM}/manifests/%ff%fe",
    f"/v2/{VICTIM}/manifests/%c0%ae%c0%ae%c0%af",
    f"/v2/{VICTIM}/manifests/%ed%a0%80",
    f"/v2/{VICTIM}/manifests/%u002e",
    f"/v2/{VICTIM}/manifests/%zz",
    f"/v2/{VICTIM}/manifests/%2",
    f"/v2/{VICTIM}/manifests/%",
    f"/v2/{VICTIM}/manifests/{'a' * 129}",
    f"/v2/{VICTIM}/manifests/{'%41' * 129}",
    f"/v2/{VICTIM}%00/manifests/latest",
    f"/v2/{VICTIM}%0a/manifests/latest",
    "/v2/hostile%5cvictim/manifests/latest",
    "/v2/hostile\\victim/manifests/latest",
    "/v2/HOSTILE/victim/manifests/latest",
    "/v2/hostile/victim;x=y/manifests/latest",
    "/v2/hostile/v%C4%B1ctim/manifests/latest",
    "/v2/h%D0%BEstile/victim/manifests/latest",
    f"/v2/{VICTIM}/blobs/../../../homeport.db",
    f"/v2/{VICTIM}/blobs/..%2f..%2f..%2fhomeport.db",
    f"/v2/{VICTIM}/blobs/sha256:..%2f..%2f..%2f..%2fetc%2fpasswd",
    f"/v2/{VICTIM}/blobs/sha256:{'.' * 64}",
    f"/v2/{VICTIM}/blobs/sha256:{BLOB.digest[7:39]}%00{BLOB.digest[40:]}",
    f"/v2/{VICTIM}/blobs/{BLOB.digest}%00",
    f"/v2/{VICTIM}/blobs/{BLOB.digest}%0a",
    f"/v2/{VICTIM}/blobs/{BLOB.digest}/",
    f"/v2/{VICTIM}/blobs/{BLOB.digest}.tmp",
    f"/v2/{VICTIM}/blobs/{BLOB.digest.upper()}",
    f"/v2/{VICTIM}/blobs/uploads/..",
    f"/v2/{VICTIM}/blobs/uploads/%2e%2e",
    f"/v2/{VICTIM}/blobs/uploads/..%2f..%2fsecrets%2finstance.key",
    f"/v2/{VICTIM}/blobs/uploads/%00",
    f"/v2/{VICTIM}/blobs/uploads/*",
    f"/v2/{VICTIM}/blobs/uploads/{'a' * 300}",
    f"/v2/{VICTIM}/blobs/uploads/%E4%B8%AD",
    f"/v2/{VICTIM}/tags/list/../../manifests/latest",
    f"/v2/{VICTIM}/tags/list%00",
    f"/v2/{VICTIM}/referrers/..%2f..",
    f"/v2/{VICTIM}/referrers/{IMAGE.digest}%00",
    "/v2/" + "a/" * 500 + "manifests/latest",
    "/v2/" + "a" * 256 + "/manifests/latest",
    "/v2/" + "a" * 5000 + "/b/manifests/latest",
    "/v2/" + "/" * 3000 + "manifests/latest",
    "/v2/" + "a/" * 20_000 + "manifests/latest",
    "/v2/a/b/manifests/" + "%2e" * 20_000,
    "/v2/_catalog/",
    "/v2/_catalog/x",
    "/V2/",
    "//v2/",
    "/v2;/",
    "/v2/%2e/",
    "/v3/",
    "/v1/_ping",
    "/",
    "/..",
    "/%00",
    "/api/v2.0/../../v2/",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{len(path)}:{path[:70]}")
def test_bad_path_is_refused_by_every_method(hostile: Registry, path: str) -> None:
    typed = ("Content-Type", OCI_MANIFEST)
    for method in ("GET", "HEAD", "DELETE", "PUT", "PATCH", "POST"):
        body = IMAGE.content if method in {"PUT", "PATCH"} else b""
        answer = hostile.ask_as_admin(method, path, (typed,), body)
        assert answer.status in REFUSED | {405}, (method, path, answer)
        assert "x-evil" not in {name.lower() for name, _ in answer.headers}
        if method == "GET":
            assert answer.status in REFUSED, (path, answer)
            assert answer.header("Content-Type") == "application/json"
            assert answer.codes()


@pytest.mark.parametrize("length", [66_000, 200_000, 1_000_000])
def test_endless_path_is_refused_or_the_connection_closed(hostile: Registry, length: int) -> None:
    with hostile.connect() as wire:
        wire.send(encode_head("GET", "/v2/" + "a" * length, (("Host", wire.host), *hostile.admin)))
        answer = wire.receive_or_close()
        assert answer is None or answer.status in REFUSED | {431}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2/\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\n\r\n",
        b"GET /v2/ HTTP/1.1 x\r\n\r\n",
        b"GET  /v2/ HTTP/1.1\r\n\r\n",
        b"GET /v2/ x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G\x00T /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v2/ HTTP/1.1\nHost: a\n\n",
        b"\x00" * 64,
        b"\xff" * 64,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://example.com/v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A" * 100 + b" /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=repr,
)
def test_bad_request_line_is_no_server_error(hostile: Registry, line: bytes) -> None:
    with hostile.connect() as wire:
        wire.send(line)
        wire.half_close()
        answer = wire.receive_or_close()
        assert answer is None or answer.status < 500


pieces = st.sampled_from(
    [
        *("..", ".", "", "%2e%2e", "%2f", "%00", "%ff", "%", "%zz", "a", "A", "_", "-", "v2", "hostile"),
        *("victim", "manifests", "blobs", "uploads", "tags", "list", "referrers", "_catalog", "latest"),
        *("%c3%28", "%e2%82", "%20", ";", ":", "@", "~", "*", "sha256:", ABSENT, BLOB.digest, "%0d%0a"),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, max_size=9), st.sampled_from(["GET", "HEAD", "DELETE", "PATCH", "PUT"]))
def test_any_path_of_known_pieces_is_no_server_error(
    hostile: Registry, parts: list[str], method: str
) -> None:
    path = "/v2/" + "/".join(parts)
    if method == "DELETE" and VICTIM in path:
        method = "GET"
    answer = hostile.ask_as_admin(method, path)
    assert answer.status < 500, (method, path, answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.sampled_from(["manifests", "blobs", "blobs/uploads", "referrers"]))
def test_any_reference_is_no_server_error(hostile: Registry, reference: str, kind: str) -> None:
    target = f"/v2/{VICTIM}/{kind}/{quote(reference.encode('utf-8', 'replace'), safe='')}"
    answer = hostile.ask_as_admin("GET", target)
    assert answer.status < 500, (target, answer)
    assert answer.status in REFUSED | {405} or reference == "latest"


names = st.text(string.ascii_lowercase + string.digits + "._-/AZ %\u00e4\0", min_size=1, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names.filter(lambda name: any(character in "AZ %\u00e4\0" for character in name)))
def test_any_bad_name_begins_no_upload(hostile: Registry, name: str) -> None:
    answer = hostile.ask_as_admin("POST", f"/v2/{quote(name)}/blobs/uploads/")
    assert answer.status in {400, 404, 405}, (name, answer)
