"""A schema registry: what Confluent's does of its REST API that clients need, in a file instead of a topic.

    registry.py PORT FILE [--user NAME:PASSWORD]

POST /subjects/S/versions {"schema": text} -> {"id": N}        the same schema has one id, whichever subject
GET /schemas/ids/N -> {"schema": text}                         404 with error_code 40403 if there is none
GET /subjects, /subjects/S/versions, /subjects/S/versions/V    V = latest or a number

It prints its address once it listens. Ids survive a restart on the same file.
"""
import argparse
import base64
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

JSON = "application/vnd.schemaregistry.v1+json"


class Store:
    def __init__(self, file):
        self.file, self.lock = Path(file), Lock()
        kept = json.loads(self.file.read_text()) if self.file.exists() else {"schemas": [], "subjects": {}}
        self.schemas, self.subjects = kept["schemas"], kept["subjects"]

    def register(self, subject, schema):
        with self.lock:
            if schema not in self.schemas:
                self.schemas.append(schema)
            number = self.schemas.index(schema) + 1
            versions = self.subjects.setdefault(subject, [])
            if number not in versions:
                versions.append(number)
            half = self.file.with_suffix(".part")
            half.write_text(json.dumps({"schemas": self.schemas, "subjects": self.subjects}))
            half.rename(self.file)
            return number


class Refusal(Exception):
    def __init__(self, status, code, message):
        self.status, self.body = status, {"error_code": code, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(self.get)

    def do_POST(self):
        self.answer(self.post)

    def get(self):
        store = self.server.store
        if self.path == "/subjects":
            return sorted(store.subjects)
        if one := re.fullmatch(r"/schemas/ids/(\d+)(?:\?.*)?", self.path):
            number = int(one[1])
            if not 0 < number <= len(store.schemas):
                raise Refusal(404, 40403, "Schema not found")
            return {"schema": store.schemas[number - 1]}
        if one := re.fullmatch(r"/subjects/([^/]+)/versions(?:/(latest|\d+))?", self.path):
            versions = store.subjects.get(one[1])
            if not versions:
                raise Refusal(404, 40401, "Subject not found.")
            if one[2] is None:
                return list(range(1, len(versions) + 1))
            version = len(versions) if one[2] == "latest" else int(one[2])
            if not 0 < version <= len(versions):
                raise Refusal(404, 40402, "Version not found.")
            number = versions[version - 1]
            return {"subject": one[1], "version": version, "id": number, "schema": store.schemas[number - 1]}
        raise Refusal(404, 404, "HTTP 404 Not Found")

    def post(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        one = re.fullmatch(r"/subjects/([^/]+)/versions", self.path)
        if not one:
            raise Refusal(404, 404, "HTTP 404 Not Found")
        try:
            schema = json.loads(body)["schema"]
            json.loads(schema)
        except (ValueError, KeyError, TypeError):
            raise Refusal(422, 42201, "Invalid schema") from None
        return {"id": self.server.store.register(one[1], schema)}

    def answer(self, make):
        status = 200
        try:
            wanted = self.server.login
            if wanted and self.headers.get("Authorization") != "Basic " + base64.b64encode(wanted.encode()).decode():
                raise Refusal(401, 40101, "Unauthorized")
            body = make()
        except Refusal as refusal:
            status, body = refusal.status, refusal.body
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *words):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("file")
    parser.add_argument("--user", metavar="NAME:PASSWORD")
    asked = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", asked.port), Handler)
    server.daemon_threads = True
    server.store, server.login = Store(asked.file), asked.user
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
