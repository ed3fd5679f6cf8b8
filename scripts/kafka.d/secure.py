"""An authority and a certificate for a broker's SASL_SSL listener, and the user that may log in there."""
import secrets
import subprocess

from machine import Failure

USER = "helenus"


def make_certificates(folder):
    """ca.pem (what clients trust), broker.pem (key and chain), password: all of them made once for an instance."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "password").exists():
        return
    for words in (
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=helenus-test-authority",
         "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "broker.key", "-out", "broker.csr"],
        ["x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650",
         "-extfile", "names.cnf", "-out", "broker.crt"],
    ):
        (folder / "names.cnf").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        done = subprocess.run(["openssl", *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"openssl {words[0]} failed (apt install openssl):\n{done.stderr[-800:]}")
    (folder / "broker.pem").write_text("".join((folder / name).read_text() for name in ("broker.key", "broker.crt", "ca.pem")))
    for name in ("ca.key", "broker.key", "broker.pem"):
        (folder / name).chmod(0o600)
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(16))


def listener(folder):
    """The settings of the listener SASL_SSL: PEM files, SCRAM-SHA-512 and PLAIN."""
    password = (folder / "password").read_text()
    return f"""
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=none
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{password}";
"""


def scram(folder):
    """What `format` wants to hear so that the user exists from the start."""
    return f"SCRAM-SHA-512=[name={USER},password={(folder / 'password').read_text()}]"
