"""A directory of accounts: Debian's OpenLDAP (slapd) as a process, with TLS from its own authority."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from homeport.auth.authority import ensure_authority, issue_server_certificate
from tests.ports import reserve_port
from tests.programs import Daemon, clean_environment

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
READER = f"cn=reader,{SUFFIX}"
READER_PASSWORD = "Reader-1 of the (directory)"
PASSWORD = "Ldap-4-tests"
START_TIMEOUT_S = 20

_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {directory}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit 500
database mdb
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw root
directory {directory}/content
maxsize 10485760
dbnosync
overlay memberof
memberof-dangling ignore
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""

_TREE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {READER}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: reader
userPassword: {READER_PASSWORD}
"""


class LdapServer:
    """Runs on free ports of 127.0.0.1 until it is stopped: `ldap` with StartTLS, and `ldaps`.

    It holds a search account and empty units for people and groups. Who reads needs the search account.
    """

    def __init__(self, directory: Path) -> None:
        if shutil.which("slapd") is None:
            pytest.skip("slapd is not installed; install it with scripts/install-programs")
        self.directory = directory
        self.port, self.tls_port = reserve_port(), reserve_port()
        (directory / "content").mkdir(parents=True)
        authority = ensure_authority(directory / "authority")
        self.ca = directory / "authority" / "ca.crt"
        certificate, key = issue_server_certificate(authority, ["localhost"])
        self.config = directory / "slapd.conf"
        self.config.write_text(
            _CONFIG.format(
                directory=directory, certificate=certificate, key=key, suffix=SUFFIX, reader=READER
            )
        )
        self._environment = clean_environment(directory / "home")
        self._daemon: Daemon | None = None

    @property
    def url(self) -> str:
        """Where it answers without TLS, and with StartTLS."""
        return f"ldap://localhost:{self.port}"

    @property
    def tls_url(self) -> str:
        """Where it answers with TLS alone."""
        return f"ldaps://localhost:{self.tls_port}"

    def start(self) -> "LdapServer":
        """Start it and wait until it answers; what was stored is still there."""
        is_new = not any((self.directory / "content").iterdir())
        listen = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        self._daemon = Daemon(
            ["slapd", "-d", "0", "-h", listen, "-f", self.config],
            self.directory / "slapd.log",
            self._environment,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._attempt("ldapwhoami").returncode != 0:
            self._daemon.check_running()
            if time.monotonic() > deadline:
                pytest.fail("slapd did not answer")
            time.sleep(0.05)
        if is_new:
            self.add(_TREE)
        return self

    def stop(self) -> None:
        """Stop it; may be called again."""
        if self._daemon is not None:
            self._daemon.stop()

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._run("ldapadd", ldif=ldif)

    def modify(self, ldif: str) -> None:
        """Change entries."""
        self._run("ldapmodify", ldif=ldif)

    def delete(self, dn: str) -> None:
        """Delete an entry, itself and not what it refers to."""
        self._run("ldapdelete", "-M", dn)

    def add_user(self, name: str, *, surname: str = "Test", mail: bool = True) -> str:
        """Make a user with PASSWORD and return its distinguished name."""
        dn = f"uid={name},{PEOPLE}"
        address = f"mail: {name}@example.org\n" if mail else ""
        self.add(
            f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name} {surname}\nsn: {surname}\n"
            f"{address}userPassword: {PASSWORD}\n"
        )
        return dn

    def add_group(self, name: str, members: Sequence[str]) -> str:
        """Make a group of users or groups and return its distinguished name."""
        dn = f"cn={name},{GROUPS}"
        lines = "".join(f"member: {member}\n" for member in members)
        self.add(f"dn: {dn}\nobjectClass: groupOfNames\ncn: {name}\n{lines}")
        return dn

    def leave_group(self, group: str, member: str) -> None:
        """Take a member out of a group."""
        self.modify(f"dn: {group}\nchangetype: modify\ndelete: member\nmember: {member}\n")

    def settings(self, **changes: object) -> dict[str, object]:
        """Return the configuration of a server whose accounts are here."""
        return {
            "auth_mode": "ldap_auth",
            "ldap_url": self.url,
            "ldap_base_dn": PEOPLE,
            "ldap_uid": "uid",
            "ldap_search_dn": READER,
            "ldap_search_password": READER_PASSWORD,
            "ldap_group_base_dn": GROUPS,
            "ldap_group_search_filter": "(objectClass=groupOfNames)",
            "ldap_group_attribute_name": "cn",
            "ldap_group_membership_attribute": "memberof",
            **changes,
        }

    def _run(self, program: str, *arguments: str, ldif: str = "") -> None:
        done = self._attempt(program, *arguments, ldif=ldif)
        if done.returncode != 0:
            pytest.fail(f"{program}: {done.stderr}")

    def _attempt(self, program: str, *arguments: str, ldif: str = "") -> "subprocess.CompletedProcess[str]":
        login = ["-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", f"cn=root,{SUFFIX}", "-w", "root"]
        return subprocess.run(
            [program, *login, *arguments],
            input=ldif,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
