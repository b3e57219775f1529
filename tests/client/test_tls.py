"""A server that is not who it says it is gets no password, and the error says what is wrong."""

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from django_sessions_plus.client import SessionAuth, Tokens, UnavailableError
from tests.client.conftest import PASSWORD

HOST = "127.0.0.1"


@pytest.fixture
def impostor(tmp_path):
    """Serve TLS with a certificate nobody vouches for; the port, and what was received."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "impostor")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .sign(key, None)
    )
    pem = tmp_path / "impostor.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    received = []

    def serve():
        # Ends when the listener is closed.
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with (
                    suppress(OSError),
                    context.wrap_socket(connection, server_side=True) as secured,
                ):
                    received.append(secured.recv(1000))

    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert received in ([], [b""])


@pytest.mark.parametrize("stored", [None, Tokens(refresh="refresh-0")], ids=["sign-in", "refresh"])
def test_a_certificate_that_nobody_vouches_for_is_named(impostor, program, stored):
    port, _ = impostor
    base = f"https://{HOST}:{port}/auth/"
    path = "sign-in" if stored is None else "token/refresh"
    running = program()
    if stored is None:
        running.auth = SessionAuth(base, "ada", PASSWORD)
    else:
        running.auth = SessionAuth.from_tokens(base, stored)
    with pytest.raises(UnavailableError) as caught:
        running.send(url=f"https://{HOST}:{port}/things")
    assert f"no connection to {HOST}:{port}/auth/{path}: " in str(caught.value)
    assert "certificate verify failed" in str(caught.value)
    assert PASSWORD not in str(caught.value)
