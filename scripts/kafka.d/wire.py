"""As much of Kafka's protocol as it takes to see a broker answer, and to make and delete topics: no second JVM, no client library."""
import socket
import struct

METADATA, CREATE_TOPICS, DELETE_TOPICS = 3, 19, 20
UNKNOWN_TOPIC, TOPIC_EXISTS = 3, 36


class Refused(Exception):
    """What the broker had against a request."""

    def __init__(self, code, message):
        super().__init__(f"{message} (error {code})")
        self.code = code


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def ask(bootstrap, api, version, body, seconds):
    host, port = bootstrap.rsplit(":", 1)
    request = struct.pack(">hhi", api, version, 1) + text("scripts-kafka") + body
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = read(connection, struct.unpack(">i", read(connection, 4))[0])
    return answer[4:]


def read(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionError("the broker closed the connection")
        data += part
    return data


def answers(bootstrap, seconds=2.0):
    """True once the broker names itself in the cluster's metadata: before that it answers, but leads nothing."""
    try:
        return struct.unpack_from(">i", ask(bootstrap, METADATA, 1, struct.pack(">i", 0), seconds))[0] > 0
    except (OSError, struct.error):
        return False


def create_topic(bootstrap, name, partitions, configs, seconds=15):
    body = struct.pack(">i", 1) + text(name) + struct.pack(">ih", partitions, 1) + struct.pack(">i", 0)
    body += struct.pack(">i", len(configs)) + b"".join(text(key) + text(value) for key, value in configs)
    answer = ask(bootstrap, CREATE_TOPICS, 2, body + struct.pack(">ib", seconds * 1000, 0), seconds)
    at = 8 + 2 + struct.unpack_from(">h", answer, 8)[0]
    code, length = struct.unpack_from(">hh", answer, at)
    if code:
        raise Refused(code, answer[at + 4:at + 4 + length].decode() if length > 0 else "the broker refused the topic")


def delete_topic(bootstrap, name, seconds=15):
    answer = ask(bootstrap, DELETE_TOPICS, 1, struct.pack(">i", 1) + text(name) + struct.pack(">i", seconds * 1000), seconds)
    code = struct.unpack_from(">h", answer, 8 + 2 + struct.unpack_from(">h", answer, 8)[0])[0]
    if code:
        raise Refused(code, f"the broker did not delete the topic {name}")
