"""Receives webhooks as a careful receiver does: signatures are verified, duplicates are seen.

webhook_receiver.py PORT FOLDER: FOLDER/secret has the secret, FOLDER/mode says what to do with each request (ok, 500, hang), and
each request that was accepted or refused becomes a line of FOLDER/received. With port 0 a free port is taken; FOLDER/port says which.
With CERTIFICATE and KEY after it, it speaks TLS.
"""
import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[2])
LOCK = threading.Lock()


def is_signed(headers, body):
    secret = (FOLDER / "secret").read_text().strip()
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and hmac.compare_digest(expected, headers["webhook-signature"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        mode = (FOLDER / "mode").read_text().strip()
        line = {
            "mode": mode,
            "path": self.path,
            "signed": is_signed(self.headers, body),
            "id": self.headers["webhook-id"],
            "type": self.headers["content-type"],
            "message": json.loads(body),
        }
        with LOCK, open(FOLDER / "received", "a") as file:
            file.write(json.dumps(line) + "\n")
        if mode == "hang":
            time.sleep(30)
        self.send_response(200 if mode == "ok" else 500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = context.wrap_socket(server.socket, server_side=True)
(FOLDER / "port").write_text(str(server.server_address[1]))
server.serve_forever()
