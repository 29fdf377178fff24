"""TLS without a certificate of one's own: a local certificate authority (CA), and a certificate from it.

In ``DATA_DIR/tls``: ``ca.pem``, which clients are told to trust; ``ca.key``, with which the certificate is
renewed; ``server.pem``, the server's key and certificate in one file, so that one step replaces both. Whoever
has ``ca.key`` can pose as any site to those who trust the CA, so keys are mode 0600.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import idna
import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fieldpack.errors import ConfigError
from fieldpack.files import write_whole

__all__ = ["TlsFiles", "ensure_certificate", "trust_line"]

_ALWAYS = ("localhost", "127.0.0.1", "::1")
_LIFETIME = timedelta(days=365)
_RENEWAL = timedelta(days=30)
_LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files. `cert_file` and `key_file` may be the same.

    Attributes:
        ca_file: what clients are to trust.
        cert_file: the server's certificate.
        key_file: its key.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path


def ensure_certificate(data_dir: Path, hosts: Iterable[str]) -> TlsFiles:
    """Make the CA and the certificate on first use; renew the certificate when it lacks a host or ends soon.

    A renewed certificate keeps the names of the one before, so that two servers with different names on one
    data folder do not take turns. It lasts a year and is renewed at a start within its last 30 days. Several
    processes may call this at once.

    Args:
        data_dir: fieldpack's data folder; made if absent.
        hosts: names and addresses besides ``localhost``, ``127.0.0.1`` and ``::1``. ``0.0.0.0`` and ``::``
            are passed over: they stand for every interface, and nobody connects to them by that name.

    Raises:
        ConfigError: a host is no name or address, or the folder or what is in it can't be used.
    """
    wanted = {_normalise_host(host) for host in (*_ALWAYS, *hosts)} - {"0.0.0.0", "::"}
    folder = data_dir / "tls"
    files = TlsFiles(folder / "ca.pem", folder / "server.pem", folder / "server.pem")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            ca, certificate = _ensure_authority(folder)
            names = _read_names(files.cert_file, certificate)
            if names is None or not wanted <= names:
                _issue(ca, certificate, wanted | (names or set()), files.cert_file)
    except OSError as error:
        raise ConfigError(
            f"The TLS files in {folder} can't be used ({error.strerror}): run as their owner."
        ) from error
    return files


def trust_line(ca_file: Path) -> str:
    """The shell line after which clients started from that shell trust the server.

    ``SSL_CERT_FILE`` is read by httpx, by Go on Linux and by most that use OpenSSL, ``CURL_CA_BUNDLE`` by
    curl, ``REQUESTS_CA_BUNDLE`` by requests. In some of them it takes the place of the system's authorities.
    """
    path = shlex.quote(str(ca_file.resolve()))
    return f"export SSL_CERT_FILE={path} CURL_CA_BUNDLE={path} REQUESTS_CA_BUNDLE={path}"


def _normalise_host(host: str) -> str:
    """An address in its shortest form, or a name in lower case ASCII, as a certificate has them."""
    text = host.strip().removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        return star + idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ConfigError(f"{host!r} is no host name or address that a certificate can have.") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":  # no flock; two first starts at the same moment are not guarded there
        yield
        return
    from fieldpack.server.db.embedded.locks import FileLock

    with FileLock(folder / "tls.lock") as lock:
        if not lock.lock(time.monotonic() + _LOCK_SECONDS):
            raise ConfigError(
                f"Another process has been using {folder} for over {_LOCK_SECONDS:.0f} s: end it."
            )
        yield


def _ensure_authority(folder: Path) -> tuple[trustme.CA, x509.Certificate]:
    """The CA kept in `folder`, a new one where there is none yet or its time is up."""
    cert_file, key_file = folder / "ca.pem", folder / "ca.key"
    if cert_file.exists():
        try:
            certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), password=None)
            if key.public_key() != certificate.public_key():
                raise ValueError("the key is of another certificate")
            if certificate.not_valid_after_utc > datetime.now(UTC) + _RENEWAL:
                return trustme.CA.from_pem(cert_file.read_bytes(), key_file.read_bytes()), certificate
        except (ValueError, FileNotFoundError) as error:
            raise ConfigError(
                f"The certificate authority in {folder} is damaged or not whole ({error}): bring back "
                "ca.pem and ca.key from a backup, or delete the folder to have a new one, "
                "which clients must be told to trust."
            ) from error
    ca = trustme.CA(path_length=0, organization_name="fieldpack", organization_unit_name="local authority")
    # The certificate last: where it is, the key is.
    write_whole(key_file, ca.private_key_pem.bytes(), mode=0o600, lasting=True)
    write_whole(cert_file, ca.cert_pem.bytes(), mode=0o644, lasting=True)
    return ca, x509.load_pem_x509_certificate(ca.cert_pem.bytes())


def _read_names(path: Path, authority: x509.Certificate) -> set[str] | None:
    """The hosts of the certificate in `path`; None if it is absent, damaged, ending, or of another CA."""
    try:
        pem = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        if load_pem_private_key(pem, password=None).public_key() != certificate.public_key():
            return None
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    if certificate.not_valid_after_utc < datetime.now(UTC) + _RENEWAL:
        return None
    return {str(name.value) for name in names}


def _issue(ca: trustme.CA, authority: x509.Certificate, hosts: set[str], path: Path) -> None:
    now = datetime.now(UTC)
    leaf = ca.issue_cert(
        *sorted(hosts),
        organization_name="fieldpack",
        organization_unit_name="server",
        not_before=now - timedelta(days=1),  # for clocks that are slow
        not_after=min(now + _LIFETIME, authority.not_valid_after_utc),
    )
    write_whole(path, leaf.private_key_and_cert_chain_pem.bytes(), mode=0o600, lasting=True)
