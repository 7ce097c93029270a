import shutil
import ssl
import subprocess

import pytest

from pipeline.errors import UsageError
from pipeline.kafka.properties import read_properties, security_from_file


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "client.properties"

    def write(text):
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_format_is_javas(file):
    text = r"""
# a comment
! another
plain=value
colon: spaced value
only blanks between
  indented = x
long = one, \
       two
path = C\:\\keys
unicode = gr\u00fc\u00df
empty =
bare
equals = a=b=c
"""
    assert read_properties(file(text)) == {
        "plain": "value",
        "colon": "spaced value",
        "only": "blanks between",
        "indented": "x",
        "long": "one, two",
        "path": "C:\\keys",
        "unicode": "grüß",
        "empty": "",
        "bare": "",
        "equals": "a=b=c",
    }


def test_no_file_means_no_security():
    assert security_from_file(None) == {}


def test_a_login_is_read_from_jaas(file):
    text = """
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
  username="ops" password="a \\"quoted\\"; secret=1";
"""
    # Java unescapes the file first, so a quote inside JAAS needs two backslashes there.
    assert security_from_file(file(text.replace('\\"', '\\\\"'))) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "ops",
        "sasl_plain_password": 'a "quoted"; secret=1',
    }


def test_librdkafkas_spelling_is_understood(file):
    text = "security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=u\nsasl.password=p w\n"
    assert security_from_file(file(text)) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p w",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("security.protcol=SSL", ["'security.protcol' is not understood", "security.protocol"]),
        ("security.protocol=TLS", ["security.protocol is 'TLS'", "SASL_SSL"]),
        ("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER", ["'OAUTHBEARER'", "SCRAM-SHA-512"]),
        ("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN", ["needs a user", "sasl.jaas.config"]),
        ("security.protocol=SSL\nssl.truststore.location=missing.pem", ["missing.pem", "cannot be read"]),
    ],
)
def test_what_is_not_understood_is_named_with_its_file(file, text, words):
    path = file(text)
    with pytest.raises(UsageError) as caught:
        security_from_file(path)
    assert str(path) in caught.value.message
    for each in words:
        assert each in caught.value.message


def test_a_java_key_store_is_refused_with_the_way_to_convert_it(file, tmp_path):
    (tmp_path / "trust.jks").write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    with pytest.raises(UsageError, match="keytool"):
        security_from_file(file("security.protocol=SSL\nssl.truststore.location=trust.jks\n"))


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path):
    with pytest.raises(UsageError, match="nowhere"):
        security_from_file(tmp_path / "nowhere.properties")
    (tmp_path / "latin.properties").write_bytes(b"a=\xe4")
    with pytest.raises(UsageError, match="byte 2"):
        security_from_file(tmp_path / "latin.properties")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_checks_names_unless_told_otherwise(file, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    text = (
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=cert.pem\n"
        "ssl.certificate.location=cert.pem\nssl.key.location=key.pem\n"
    )
    context = security_from_file(file(text))["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    relaxed = security_from_file(file(text + "ssl.endpoint.identification.algorithm=\n"))["ssl_context"]
    assert relaxed.verify_mode is ssl.CERT_REQUIRED
    assert not relaxed.check_hostname
    (tmp_path / "key.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    with pytest.raises(UsageError, match="do not load"):
        security_from_file(file(text))
