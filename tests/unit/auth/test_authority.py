import os
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homeport.auth.authority import (
    Authority,
    AuthorityError,
    ServerCertificateError,
    authority_directory,
    check_server_certificate,
    ensure_authority,
    issue_server_certificate,
    parse_certificate_names,
    read_certificates,
)

NAMES = ("registry.example.com", "localhost", "127.0.0.1", "::1")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def names_of(path: Path) -> list[str]:
    extension = read_certificates(path)[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout


def test_authority_is_made_once(tmp_path: Path) -> None:
    first = ensure_authority(tmp_path / "deep" / "tls")
    content = first.certificate_path.read_bytes()
    second = ensure_authority(tmp_path / "deep" / "tls")
    assert second.certificate == first.certificate
    assert second.certificate_path.read_bytes() == content


def test_authority_lives_in_the_data_directory() -> None:
    assert authority_directory(Path("homeport-data")) == Path("homeport-data/tls")


def test_authority_key_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        authority = ensure_authority(tmp_path)
        _, key = issue_server_certificate(authority, NAMES)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {".lock": 0o600, "ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644, key.name: 0o600}


def test_authority_key_stays_out_of_repr(tmp_path: Path) -> None:
    assert "key=" not in repr(ensure_authority(tmp_path))


def test_authority_certificate_signs_servers_only_for_ten_years(tmp_path: Path) -> None:
    certificate = ensure_authority(tmp_path, now=NOW).certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc.year == 2036
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_authorities_have_names_of_their_own(tmp_path: Path) -> None:
    first, second = ensure_authority(tmp_path / "1"), ensure_authority(tmp_path / "2")
    assert first.certificate.subject != second.certificate.subject


def test_authority_made_by_many_processes_at_once_is_the_same(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, homeport.auth.authority as a\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "authority = a.ensure_authority(pathlib.Path(sys.argv[1]))\n"
        "a.issue_server_certificate(authority, ['localhost'])\n"
        "print(authority.certificate.serial_number)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "tls")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    serials = {process.communicate("go\n", timeout=60)[0].strip() for process in processes}
    authority = ensure_authority(tmp_path / "tls")
    assert serials == {str(authority.certificate.serial_number)}
    assert_issues_a_working_pair(authority)


def test_authority_whose_making_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "ca.key").write_text("")
    (tmp_path / ".ca.crt.new").write_text("-----BEGIN")
    authority = ensure_authority(tmp_path)
    assert issue_server_certificate(authority, NAMES)[0].exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.endswith(".new")) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "ca.key").unlink(), "There is no key file"),
        (lambda d: (d / "ca.key").write_text("nothing"), "holds no private key"),
        (lambda d: (d / "ca.crt").write_text("nothing"), "holds no certificate"),
        (lambda d: (d / "ca.key").write_bytes(pem(ec.generate_private_key(ec.SECP256R1()))), "not belong"),
        (lambda d: (d / "ca.key").write_bytes(pem(ed25519.Ed25519PrivateKey.generate())), "not belong"),
    ],
)
def test_authority_that_is_damaged_is_refused_and_kept(tmp_path: Path, damage: object, message: str) -> None:
    ensure_authority(tmp_path)
    assert callable(damage)
    damage(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AuthorityError, match=message) as caught:
        ensure_authority(tmp_path)
    assert "restore" in caught.value.hint
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_authority_that_expired_is_refused_with_what_to_do(tmp_path: Path) -> None:
    ensure_authority(tmp_path, now=NOW)
    with pytest.raises(AuthorityError, match="expired on 2036-02-") as caught:
        ensure_authority(tmp_path, now=NOW + timedelta(days=3653))
    assert "homeport trust" in caught.value.hint


def test_authority_in_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthorityError, match="cannot be used"):
        ensure_authority(tmp_path / "file" / "tls")


def test_server_certificate_has_what_clients_ask_for(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path, now=NOW)
    path, _ = issue_server_certificate(authority, NAMES, now=NOW)
    certificate = read_certificates(path)[0]
    extensions = certificate.extensions
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    issuer_identifier = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert names_of(path) == list(NAMES)
    assert list(usages.value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert issuer_identifier.value.key_identifier == identifier.value.digest
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert not constraints.value.ca
    assert certificate.version is x509.Version.v3
    assert certificate.serial_number.bit_length() > 64
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=365)


def test_server_certificate_passes_openssl_in_strict_mode(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path)
    path, _ = issue_server_certificate(authority, NAMES)
    for check in (
        ("-verify_hostname", "registry.example.com"),
        ("-verify_ip", "127.0.0.1"),
        ("-verify_ip", "::1"),
    ):
        output = openssl(
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            *check,
            "-CAfile",
            authority.certificate_path,
            path,
        )
        assert output.strip().endswith("OK")


def test_server_certificate_ends_no_later_than_the_authority(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path, now=NOW)
    late = NOW + timedelta(days=3600)
    path, _ = issue_server_certificate(authority, NAMES, now=late)
    assert read_certificates(path)[0].not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_server_certificate_without_a_short_name_has_a_common_name_all_the_same(tmp_path: Path) -> None:
    long_name = ".".join(["a" * 40] * 3)
    path, _ = issue_server_certificate(ensure_authority(tmp_path), [long_name])
    subject = read_certificates(path)[0].subject
    assert [attribute.value for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        "homeport"
    ]
    assert names_of(path) == [long_name]


def test_server_certificate_is_used_again_while_it_covers_the_names(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path)
    first = [path.read_bytes() for path in issue_server_certificate(authority, NAMES)]
    again = [path.read_bytes() for path in issue_server_certificate(authority, ["LOCALHOST", "127.0.0.1"])]
    assert again == first


def test_server_certificate_is_made_anew_for_a_new_name(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path)
    path, _ = issue_server_certificate(authority, ["localhost"])
    first = path.read_bytes()
    issue_server_certificate(authority, ["localhost", "other.example.com"])
    assert path.read_bytes() != first
    assert names_of(path) == ["localhost", "other.example.com"]


@pytest.mark.parametrize(("age_days", "is_same"), [(1, True), (242, True), (245, False), (400, False)])
def test_server_certificate_is_made_anew_in_the_last_third_of_its_life(
    tmp_path: Path, *, age_days: int, is_same: bool
) -> None:
    authority = ensure_authority(tmp_path, now=NOW)
    path, _ = issue_server_certificate(authority, NAMES, now=NOW)
    first = path.read_bytes()
    issue_server_certificate(authority, NAMES, now=NOW + timedelta(days=age_days))
    assert (path.read_bytes() == first) is is_same


def test_server_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    other = ensure_authority(tmp_path / "other")
    authority = ensure_authority(tmp_path / "own")
    for source in issue_server_certificate(other, NAMES):
        (authority.directory / source.name).write_bytes(source.read_bytes())
    assert_issues_a_working_pair(authority)


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_server_certificate_that_is_damaged_is_replaced(tmp_path: Path, name: str, content: bytes) -> None:
    authority = ensure_authority(tmp_path)
    issue_server_certificate(authority, NAMES)
    (tmp_path / name).write_bytes(content)
    assert_issues_a_working_pair(authority)


def test_server_certificate_without_its_key_is_replaced(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path)
    _, key = issue_server_certificate(authority, NAMES)
    key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    assert_issues_a_working_pair(authority)


def test_server_certificate_for_nobody_is_refused(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path)
    with pytest.raises(ServerCertificateError, match="at least one name"):
        issue_server_certificate(authority, ["0.0.0.0", "::"])


def assert_issues_a_working_pair(authority: Authority) -> None:
    certificate, key = issue_server_certificate(authority, NAMES)
    assert check_server_certificate(certificate, key) == (certificate, key)
    read_certificates(certificate)[0].verify_directly_issued_by(authority.certificate)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Registry.Example.COM", x509.DNSName("registry.example.com")),
        ("registry.example.com.", x509.DNSName("registry.example.com")),
        ("*.example.com", x509.DNSName("*.example.com")),
        ("my_registry", x509.DNSName("my_registry")),
        ("bücher.example", x509.DNSName("xn--bcher-kva.example")),
        ("镜像.example", x509.DNSName("xn--o1q148n.example")),
    ],
)
def test_names_are_read_as_dns_names(name: str, expected: x509.GeneralName) -> None:
    assert parse_certificate_names([name]) == (expected,)


@pytest.mark.parametrize(
    ("name", "address"),
    [("10.0.0.1", "10.0.0.1"), ("::1", "::1"), ("[2001:db8::1]", "2001:db8::1"), ("fe80::1%eth0", "fe80::1")],
)
def test_names_are_read_as_addresses(name: str, address: str) -> None:
    assert [str(parsed.value) for parsed in parse_certificate_names([name])] == [address]


def test_names_are_taken_once_and_unspecified_addresses_left_out() -> None:
    parsed = parse_certificate_names(["b", "a", "B", "::1", "[::1]", "0.0.0.0", "::"])
    assert [str(name.value) for name in parsed] == ["b", "a", "::1"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a b",
        "https://a",
        "a:8443",
        "a/b",
        "-a",
        "a..b",
        "a" * 64,
        "*",
        "a.*",
        ".".join(["a" * 60] * 5),
    ],
)
def test_names_that_no_certificate_can_hold_are_refused(name: str) -> None:
    with pytest.raises(ServerCertificateError, match="neither a host name nor an IP address"):
        parse_certificate_names([name])


def pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, secret: str = ""
) -> bytes:
    encryption = BestAvailableEncryption(secret.encode()) if secret else NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return issue_server_certificate(ensure_authority(tmp_path / "tls", now=NOW), NAMES, now=NOW)


def test_given_certificate_with_its_chain_is_accepted(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    chain = certificate.parent / "chain.pem"
    chain.write_bytes(certificate.read_bytes() + (certificate.parent / "ca.crt").read_bytes())
    assert check_server_certificate(chain, key, now=NOW) == (chain, key)
    assert len(read_certificates(chain)) == 2


def test_given_certificate_with_an_rsa_key_is_accepted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", key, "-out", certificate
    )
    assert check_server_certificate(certificate, key) == (certificate, key)


def spoil_key(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))


def encrypt_key(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), "secret words"))


def swap(pair: tuple[Path, Path]) -> None:
    certificate, key = (path.read_bytes() for path in pair)
    pair[0].write_bytes(key)
    pair[1].write_bytes(certificate)


def make_directory(pair: tuple[Path, Path]) -> None:
    pair[0].unlink()
    pair[0].mkdir()


def put_authority_first(pair: tuple[Path, Path]) -> None:
    pair[0].write_bytes((pair[0].parent / "ca.crt").read_bytes() + pair[0].read_bytes())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pair: pair[0].unlink(), "There is no certificate file"),
        (lambda pair: pair[1].unlink(), "There is no key file"),
        (lambda pair: pair[0].write_bytes(b""), "holds no certificate in PEM form"),
        (lambda pair: pair[0].write_bytes(b"0\x82" * 99), "holds no certificate in PEM form"),
        (lambda pair: pair[1].write_bytes(b"0\x82" * 99), "holds no private key in PEM form"),
        (lambda pair: pair[0].write_bytes(b"x" * (1024 * 1024 + 1)), "larger than 1 MiB"),
        (make_directory, "cannot be read: Is a directory"),
        (spoil_key, "does not belong to the certificate"),
        (put_authority_first, "does not belong to the certificate"),
        (encrypt_key, "protected by a passphrase"),
        (swap, "holds no certificate in PEM form"),
    ],
)
def test_given_certificate_that_cannot_serve_says_why(
    pair: tuple[Path, Path], spoil: object, message: str
) -> None:
    assert callable(spoil)
    spoil(pair)
    with pytest.raises(ServerCertificateError, match=message) as caught:
        check_server_certificate(*pair, now=NOW)
    assert caught.value.hint or "1 MiB" in message


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (NOW + timedelta(days=400), r"expired on 2027-03-01 11:00 UTC"),
        (NOW - timedelta(days=1), "not valid before 2026"),
    ],
)
def test_given_certificate_out_of_its_time_is_refused(
    pair: tuple[Path, Path], when: datetime, message: str
) -> None:
    with pytest.raises(ServerCertificateError, match=message):
        check_server_certificate(*pair, now=when)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as another user")
def test_given_certificate_that_may_not_be_read_says_so() -> None:
    program = (
        "import os, sys, pathlib, homeport.auth.authority as a\n"
        "os.setuid(65534)\n"
        "try: a.check_server_certificate(*map(pathlib.Path, sys.argv[1:]))\n"
        "except a.ServerCertificateError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        paths = issue_server_certificate(ensure_authority(directory), NAMES)
        command = [sys.executable, "-c", program, *map(str, paths)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "server.key cannot be read: Permission denied." in result.stdout
