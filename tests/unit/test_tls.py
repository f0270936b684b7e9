"""TLS material: what we make, strict verifiers accept; what would fail later is refused with one line."""

from __future__ import annotations

import base64
import errno
import ipaddress
import os
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rangeland import tls
from rangeland.errors import TlsError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
THREE_KEYS = b"".join(base64.b64encode(each * 32) + b"\n" for each in (b"x", b"y", b"z"))


@pytest.fixture
def certs_dir(tmp_path: Path) -> Path:
    """A directory with a CA (its key in ../ca.key), a node certificate and a cluster key, made now."""
    certs_dir = tmp_path / "certs"
    tls.create_ca(certs_dir, tmp_path / "ca.key")
    tls.create_node(certs_dir, tmp_path / "ca.key", ["localhost", "127.0.0.1", "::1", "*.example.com"])
    tls.create_cluster_key(certs_dir)
    return certs_dir


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """A whole TLS handshake in memory. Raises: ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue


def server_context(certs_dir: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certs_dir / tls.CA_CERT)
    context.load_cert_chain(certs_dir / tls.NODE_CERT, certs_dir / tls.NODE_KEY)
    return context


def strict_client(certs_dir: Path) -> ssl.SSLContext:
    context = tls.client_context(certs_dir)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def refusal(call: Callable[[], object]) -> str:
    """The text of the TlsError, which must be one line."""
    with pytest.raises(TlsError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_pair(
    certs_dir: Path,
    stem: str,
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    names: tuple[str, ...] = ("localhost",),
    usage: x509.ObjectIdentifier | None = None,
    is_ca: bool = False,
    key_format: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> x509.Certificate:
    """STEM.crt and STEM.key as a foreign tool makes them; self-signed without `signer`."""
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
    issuer, issuer_key = (signer[0].subject, signer[1]) if signer else (own, key)
    builder = x509.CertificateBuilder(issuer, own, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime.now(UTC) - DAY).not_valid_after(datetime.now(UTC) + DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if names:
        san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(san, critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    (certs_dir / f"{stem}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem = key.private_bytes(serialization.Encoding.PEM, key_format, serialization.NoEncryption())
    write_secret(certs_dir / f"{stem}.key", key_pem)
    return certificate


def write_secret(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "node1.example.com"])
def test_a_strict_verifier_accepts_a_node_for_each_of_its_names(certs_dir: Path, host: str) -> None:
    shake_hands(strict_client(certs_dir), server_context(certs_dir), host)


@pytest.mark.parametrize("host", ["127.0.0.2", "otherhost", "a.b.example.com"])
def test_a_verifier_refuses_a_node_for_another_name(certs_dir: Path, host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(strict_client(certs_dir), server_context(certs_dir), host)


def test_a_node_certificate_serves_as_a_client_certificate_too(certs_dir: Path) -> None:
    client, server = strict_client(certs_dir), server_context(certs_dir)
    client.load_cert_chain(certs_dir / tls.NODE_CERT, certs_dir / tls.NODE_KEY)
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    shake_hands(client, server, "localhost")


def test_a_client_trusts_no_other_authority(certs_dir: Path, tmp_path: Path) -> None:
    tls.create_ca(tmp_path / "other", tmp_path / "other.key")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tls.client_context(tmp_path / "other"), server_context(certs_dir), "localhost")


def test_a_client_without_a_directory_trusts_what_the_machine_trusts() -> None:
    assert tls.client_context(None).verify_mode == ssl.CERT_REQUIRED


def test_addresses_become_ip_names_and_hosts_dns_names(certs_dir: Path) -> None:
    certificate = x509.load_pem_x509_certificate((certs_dir / tls.NODE_CERT).read_bytes())
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["localhost", "*.example.com"]
    assert san.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]


def test_secrets_are_private_from_their_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment when a file gets to the disk, no file with a secret may be used by others."""
    seen: list[tuple[str, int]] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        files = [path for path in tmp_path.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
        seen.extend((path.name, stat.S_IMODE(path.stat().st_mode)) for path in files)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(0)
    try:
        tls.create_ca(tmp_path / "certs", tmp_path / "safe" / "ca.key")
        tls.create_node(tmp_path / "certs", tmp_path / "safe" / "ca.key", ["localhost"])
        tls.create_cluster_key(tmp_path / "certs")
    finally:
        os.umask(before)
    assert {mode for _, mode in seen} == {0o600}
    assert {name for name, _ in seen} >= {"ca.key", "node.key"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "certs": 0o700,
        "safe": 0o700,
        "ca.key": 0o600,
        "ca.crt": 0o644,
        "node.key": 0o600,
        "node.crt": 0o644,
        "cluster.key": 0o600,
    }


def test_nothing_is_overwritten_unless_asked(certs_dir: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "exists" in refusal(lambda: tls.create_ca(certs_dir, tmp_path / "ca.key"))
    assert "exists" in refusal(lambda: tls.create_node(certs_dir, tmp_path / "ca.key", ["localhost"]))
    assert "exists" in refusal(lambda: tls.create_cluster_key(certs_dir))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_overwrite_replaces_key_and_certificate(certs_dir: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tls.create_ca(certs_dir, tmp_path / "ca.key", overwrite=True)
    tls.create_node(certs_dir, tmp_path / "ca.key", ["localhost"], overwrite=True)
    tls.create_cluster_key(certs_dir, overwrite=True)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    assert all(after[path] != before[path] for path in before)
    assert tls.read_node_material(certs_dir).names == ("localhost",)


@pytest.mark.parametrize("failing", ["link", "replace", "fsync"])
def test_a_failure_half_way_leaves_the_old_files(
    certs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The second call of each kind fails, as on a full disk: by then the first file has been replaced."""
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    fail_second_call(monkeypatch, failing)
    text = refusal(lambda: tls.create_node(certs_dir, tmp_path / "ca.key", ["otherhost"], overwrite=True))
    assert "No space left on device" in text
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("failing", ["link", "fsync", "mkdir"])
def test_a_failure_half_way_leaves_nothing_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    fail_second_call(monkeypatch, failing)
    assert "No space left" in refusal(lambda: tls.create_ca(tmp_path / "a" / "certs", tmp_path / "b" / "ca.key"))
    assert list(tmp_path.iterdir()) == []


def fail_second_call(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real, calls = getattr(os, name), iter(range(100))

    def fail(*args: object, **kwargs: object) -> object:
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, fail)


def test_a_new_authority_joins_the_old_one(certs_dir: Path, tmp_path: Path) -> None:
    """During a rotation the old node's certificate and the new one's are both trusted."""
    old_server = server_context(certs_dir)
    tls.create_ca(certs_dir, tmp_path / "new-ca.key")
    shake_hands(strict_client(certs_dir), old_server, "localhost")
    assert tls.read_node_material(certs_dir).names[0] == "localhost"
    tls.create_node(certs_dir, tmp_path / "new-ca.key", ["localhost"], overwrite=True)
    shake_hands(strict_client(certs_dir), server_context(certs_dir), "localhost")
    authorities = (row for row in tls.list_certs(certs_dir) if row.usage == "CA")
    assert [row.notes for row in authorities] == ["authorities: 2"]


def test_an_authority_can_be_renewed_with_its_key(certs_dir: Path, tmp_path: Path) -> None:
    key = (tmp_path / "ca.key").read_bytes()
    tls.create_ca(certs_dir, tmp_path / "ca.key", allow_ca_key_reuse=True, overwrite=True)
    assert (tmp_path / "ca.key").read_bytes() == key
    shake_hands(strict_client(certs_dir), server_context(certs_dir), "localhost")


def test_a_node_lives_no_longer_than_its_authority(tmp_path: Path) -> None:
    tls.create_ca(tmp_path, tmp_path / "ca.key", lifetime=10 * DAY, now=NOW)
    text = refusal(lambda: tls.create_node(tmp_path, tmp_path / "ca.key", ["a"], lifetime=11 * DAY, now=NOW))
    assert "expires on 2026-05-11 12:00:00 UTC" in text
    tls.create_node(tmp_path, tmp_path / "ca.key", ["a"], now=NOW)
    assert tls.read_node_material(tmp_path, now=NOW).not_after == NOW + 10 * DAY


def test_a_node_of_default_lifetime_is_within_apples_limit(certs_dir: Path) -> None:
    certificate = x509.load_pem_x509_certificate((certs_dir / tls.NODE_CERT).read_bytes())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=825)


@pytest.mark.parametrize("lifetime", [timedelta(0), -DAY, 40_000 * DAY])
def test_a_senseless_lifetime_is_refused(tmp_path: Path, lifetime: timedelta) -> None:
    assert "lifetime" in refusal(lambda: tls.create_ca(tmp_path, tmp_path / "ca.key", lifetime=lifetime))
    assert list(tmp_path.iterdir()) == []


def test_a_node_needs_the_key_of_its_authority(certs_dir: Path, tmp_path: Path) -> None:
    tls.create_ca(tmp_path / "other", tmp_path / "other.key")
    text = refusal(lambda: tls.create_node(certs_dir, tmp_path / "other.key", ["a"], overwrite=True))
    assert "other.key is the key of another authority" in text


def test_a_node_is_not_signed_by_a_node(certs_dir: Path, tmp_path: Path) -> None:
    (certs_dir / "ca.crt").write_bytes((certs_dir / "node.crt").read_bytes())
    text = refusal(lambda: tls.create_node(certs_dir, certs_dir / "node.key", ["a"], overwrite=True))
    assert "not an authority's certificate" in text


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        (["LocalHost", "localhost."], ["localhost"]),
        (["pg_1", "a-b.c"], ["pg_1", "a-b.c"]),
        (["[::1]", "0:0::1"], [ipaddress.ip_address("::1")]),
        (["*.example.com"], ["*.example.com"]),
        (["xn--bcher-kva.example"], ["xn--bcher-kva.example"]),
    ],
)
def test_hosts_are_normalised(hosts: list[str], names: list[object]) -> None:
    assert tls.parse_hosts(hosts) == names


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "localhost:8080",
        "https://localhost",
        "256.1.1.1",
        "10.0.0",
        "fe80::1%eth0",
        "-a",
        "a..b",
        "*",
        "a.*.b",
        "bücher.example",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "a\nb",
        "localhost\n",
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    assert "host" in refusal(lambda: tls.parse_hosts([host])) or "address" in refusal(lambda: tls.parse_hosts([host]))


def test_a_node_without_hosts_is_refused() -> None:
    assert "at least one" in refusal(lambda: tls.parse_hosts([]))


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("A.example.com", True),
        ("example.com", False),
        ("a.b.example.com", False),
        ("[::1]", True),
        ("0::1", True),
        ("::2", False),
        ("localhost", True),
    ],
)
def test_a_host_is_named_as_verifiers_see_it(host: str, named: bool) -> None:
    assert tls.is_named(("localhost", "*.example.com", "::1"), host) is named


def test_a_complete_directory_is_read(certs_dir: Path) -> None:
    material = tls.read_node_material(certs_dir)
    assert material.cert_path == certs_dir / "node.crt"
    assert material.cert_pem == (certs_dir / "node.crt").read_bytes()
    assert material.key_pem == (certs_dir / "node.key").read_bytes()
    assert material.is_pkcs8
    assert material.names == ("localhost", "127.0.0.1", "::1", "*.example.com")
    assert "PRIVATE" not in repr(material)


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(certs_dir: Path, name: str) -> None:
    (certs_dir / name).unlink()
    text = refusal(lambda: tls.read_node_material(certs_dir))
    assert f"{name} does not exist: make it with `rangeland cert create-" in text


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    assert "does not exist" in refusal(lambda: tls.read_node_material(tmp_path / "nowhere"))
    assert "nowhere" in refusal(lambda: tls.list_certs(tmp_path / "nowhere"))
    assert "nowhere" in refusal(lambda: tls.client_context(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key"])
@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_broken_file_is_named(certs_dir: Path, name: str, content: bytes) -> None:
    write_secret(certs_dir / name, content)
    assert str(certs_dir / name) in refusal(lambda: tls.read_node_material(certs_dir))


def test_a_pipe_or_directory_is_no_key_and_nobody_waits(certs_dir: Path) -> None:
    (certs_dir / "node.key").unlink()
    os.mkfifo(certs_dir / "node.key", 0o600)
    assert "not a regular file" in refusal(lambda: tls.read_node_material(certs_dir))
    (certs_dir / "node.key").unlink()
    (certs_dir / "node.key").mkdir(0o700)
    assert "Is a directory" in refusal(lambda: tls.read_node_material(certs_dir))


@pytest.mark.parametrize("name", ["node.key", "cluster.key"])
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o610, 0o777])
def test_a_secret_that_others_can_use_is_refused(certs_dir: Path, name: str, mode: int) -> None:
    (certs_dir / name).chmod(mode)
    read = tls.read_node_material if name == "node.key" else tls.read_cluster_keys
    assert f"{name} can be used by others (mode {mode:04o})" in refusal(lambda: read(certs_dir))


def test_a_group_may_read_a_key_only_if_root_owns_it(certs_dir: Path) -> None:
    (certs_dir / "node.key").chmod(0o640)
    if os.geteuid() != 0:
        assert "can be used by others" in refusal(lambda: tls.read_node_material(certs_dir))
        return
    assert tls.read_node_material(certs_dir)
    os.chown(certs_dir / "node.key", 65534, 0)
    assert "can be used by others" in refusal(lambda: tls.read_node_material(certs_dir))


def test_an_authority_key_that_others_can_use_is_refused(certs_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.key").chmod(0o644)
    text = refusal(lambda: tls.create_node(certs_dir, tmp_path / "ca.key", ["a"], overwrite=True))
    assert "ca.key can be used by others" in text


def test_a_certificate_is_refused_before_and_after_its_time(tmp_path: Path) -> None:
    tls.create_ca(tmp_path, tmp_path / "ca.key", lifetime=100 * DAY, now=NOW)
    tls.create_node(tmp_path, tmp_path / "ca.key", ["a"], lifetime=10 * DAY, now=NOW)
    assert tls.read_node_material(tmp_path, now=NOW + 9 * DAY).not_after == NOW + 10 * DAY
    late = refusal(lambda: tls.read_node_material(tmp_path, now=NOW + 11 * DAY))
    assert late.endswith("node.crt expired on 2026-05-11 12:00:00 UTC")
    assert "ca.crt expired" in refusal(lambda: tls.read_node_material(tmp_path, now=NOW + 101 * DAY))
    assert "not valid before" in refusal(lambda: tls.read_node_material(tmp_path, now=NOW - 2 * DAY))
    text = refusal(lambda: tls.create_node(tmp_path, tmp_path / "ca.key", ["a"], overwrite=True, now=NOW + 101 * DAY))
    assert "ca.crt expired" in text


def test_a_key_of_another_certificate_is_refused(certs_dir: Path, tmp_path: Path) -> None:
    tls.copy_shared(certs_dir, tmp_path / "two")
    tls.create_node(tmp_path / "two", tmp_path / "ca.key", ["localhost"])
    (tmp_path / "two" / "node.key").replace(certs_dir / "node.key")
    assert "node.key is not the key of" in refusal(lambda: tls.read_node_material(certs_dir))


def test_a_certificate_of_another_authority_is_refused(certs_dir: Path, tmp_path: Path) -> None:
    tls.create_ca(certs_dir, tmp_path / "ca.key", overwrite=True)
    text = refusal(lambda: tls.read_node_material(certs_dir))
    assert "node.crt is not signed by an authority in ca.crt" in text


def test_a_certificate_for_clients_only_is_refused(certs_dir: Path) -> None:
    write_pair(certs_dir, "ui", key=ec.generate_private_key(ec.SECP256R1()), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert "lacks serverAuth" in refusal(lambda: tls.read_node_material(certs_dir))


def test_a_certificate_without_names_is_refused(certs_dir: Path) -> None:
    write_pair(certs_dir, "ui", key=ec.generate_private_key(ec.SECP256R1()), names=())
    assert "names no host" in refusal(lambda: tls.read_node_material(certs_dir))


def test_an_encrypted_or_weak_key_is_refused(certs_dir: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    write_secret(certs_dir / "node.key", key.private_bytes(serialization.Encoding.PEM, pkcs8, locked))
    assert "encrypted with a passphrase" in refusal(lambda: tls.read_node_material(certs_dir))
    write_pair(certs_dir, "node", key=rsa.generate_private_key(65537, 1024))
    assert "a kind that can't be used" in refusal(lambda: tls.read_node_material(certs_dir))


def test_a_traditional_key_is_converted(certs_dir: Path) -> None:
    """`openssl genrsa -traditional` writes RSA PRIVATE KEY, which the HTTP server can't read."""
    key = rsa.generate_private_key(65537, 2048)
    ca = write_pair(
        certs_dir, "ca-ui", key=key, key_format=serialization.PrivateFormat.TraditionalOpenSSL, is_ca=True
    )
    (certs_dir / "ui.crt").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (certs_dir / "ca-ui.key").rename(certs_dir / "ui.key")
    material = tls.read_node_material(certs_dir)
    assert not material.is_pkcs8
    assert material.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_ui_certificate_comes_before_the_nodes(certs_dir: Path) -> None:
    """ui.crt serves HTTPS when it is there, with an intermediate, and its authority is trusted as well."""
    root_key, middle_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    root = write_pair(certs_dir, "ca-ui", key=root_key, is_ca=True)
    middle = write_pair(certs_dir, "middle", key=middle_key, signer=(root, root_key), is_ca=True)
    write_pair(certs_dir, "ui", key=key, signer=(middle, middle_key), names=("node.example.org",))
    assert "ui.crt is not signed by" in refusal(lambda: tls.read_node_material(certs_dir))
    with (certs_dir / "ui.crt").open("ab") as file:
        file.write((certs_dir / "middle.crt").read_bytes())
    material = tls.read_node_material(certs_dir)
    assert material.cert_path == certs_dir / "ui.crt"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(material.cert_path, material.key_path)
    shake_hands(tls.client_context(certs_dir), server, "node.example.org")


def test_half_a_ui_pair_is_told(certs_dir: Path) -> None:
    write_pair(certs_dir, "ui", key=ec.generate_private_key(ec.SECP256R1()))
    (certs_dir / "ui.crt").unlink()
    assert "ui.crt does not exist" in refusal(lambda: tls.read_node_material(certs_dir))


def test_a_cluster_key_is_32_random_bytes(certs_dir: Path) -> None:
    [first] = tls.read_cluster_keys(certs_dir)
    tls.create_cluster_key(certs_dir, overwrite=True)
    [second] = tls.read_cluster_keys(certs_dir)
    assert len(first) == len(second) == 32
    assert first != second


def test_a_cluster_key_is_replaced_in_three_steps(certs_dir: Path) -> None:
    [old] = tls.read_cluster_keys(certs_dir)
    tls.rotate_cluster_key(certs_dir, tls.RotationStep.ADD)
    signing, new = tls.read_cluster_keys(certs_dir)
    assert signing == old
    tls.rotate_cluster_key(certs_dir, tls.RotationStep.USE)
    assert tls.read_cluster_keys(certs_dir) == (new, old)
    [row] = [row for row in tls.list_certs(certs_dir) if row.key_file == "cluster.key"]
    assert (row.notes, row.error) == ("rotation begun", "")
    tls.rotate_cluster_key(certs_dir, tls.RotationStep.DROP)
    assert tls.read_cluster_keys(certs_dir) == (new,)
    assert (certs_dir / "cluster.key").stat().st_mode & 0o777 == 0o600


def test_a_step_of_a_rotation_out_of_turn_is_refused_and_changes_nothing(certs_dir: Path) -> None:
    before = tls.read_cluster_keys(certs_dir)
    for step in (tls.RotationStep.USE, tls.RotationStep.DROP):
        assert "begin the rotation with add" in refusal(partial(tls.rotate_cluster_key, certs_dir, step))
    assert tls.read_cluster_keys(certs_dir) == before
    tls.rotate_cluster_key(certs_dir, tls.RotationStep.ADD)
    begun = tls.read_cluster_keys(certs_dir)
    assert "begun" in refusal(lambda: tls.rotate_cluster_key(certs_dir, tls.RotationStep.ADD))
    assert tls.read_cluster_keys(certs_dir) == begun


def test_a_cluster_key_may_be_commented_and_edited(certs_dir: Path) -> None:
    write_secret(certs_dir / "cluster.key", b"# ours\r\n\r\n" + base64.b64encode(b"x" * 32) + b" \r\n")
    assert tls.read_cluster_keys(certs_dir) == (b"x" * 32,)


@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"abc\n", base64.b64encode(b"x" * 31), b"\xff\xfe\n", THREE_KEYS]
)
def test_a_damaged_cluster_key_is_refused_without_showing_it(certs_dir: Path, content: bytes) -> None:
    write_secret(certs_dir / "cluster.key", content)
    text = refusal(lambda: tls.read_cluster_keys(certs_dir))
    assert str(certs_dir / "cluster.key") in text
    assert base64.b64encode(b"x" * 31).decode() not in text


def test_the_shared_files_are_copied_for_another_node(certs_dir: Path, tmp_path: Path) -> None:
    tls.copy_shared(certs_dir, tmp_path / "two")
    assert tls.read_cluster_keys(tmp_path / "two") == tls.read_cluster_keys(certs_dir)
    tls.create_node(tmp_path / "two", tmp_path / "ca.key", ["localhost"])
    shake_hands(tls.client_context(certs_dir), server_context(tmp_path / "two"), "localhost")
    assert "exists" in refusal(lambda: tls.copy_shared(certs_dir, tmp_path / "two"))


def test_the_list_tells_use_expiry_and_error_of_each_file(certs_dir: Path) -> None:
    (certs_dir / "node.key").chmod(0o644)
    rows = tls.list_certs(certs_dir)
    assert [(row.usage, row.certificate_file, row.key_file) for row in rows] == [
        ("CA", "ca.crt", ""),
        ("Node", "node.crt", "node.key"),
        ("Cluster key", "", "cluster.key"),
    ]
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert rows[0].expires is not None
    assert rows[2].expires is None


def test_an_empty_directory_lists_nothing(tmp_path: Path) -> None:
    assert tls.list_certs(tmp_path) == []
