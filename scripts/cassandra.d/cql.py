"""CQL, as little as it takes to know that a node answers."""
import socket
import struct


def answers_cql(address, port, auth, seconds=2.0):
    """True once a query is answered (v4 native protocol). With `auth`: once the login cassandra is answered."""
    try:
        with socket.create_connection((address, port), seconds) as connection:
            connection.settimeout(max(seconds, 10.0 if auth else seconds))
            stream = connection.makefile("rb")

            def ask(opcode, body):
                connection.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
                header = stream.read(9)
                if len(header) < 9:
                    raise ConnectionError("closed")
                _, _, _, answer, length = struct.unpack(">BBhBi", header)
                return answer, stream.read(length)

            answer, body = ask(0x01, struct.pack(">H", 1) + text("CQL_VERSION") + text("3.0.0"))  # STARTUP
            if answer == 0x03:  # AUTHENTICATE
                answer, body = ask(0x0F, struct.pack(">i", 20) + b"\0cassandra\0cassandra")
                # A wrong password is an answer too, once somebody changed the default one.
                if answer == 0x00:
                    return "changed" if body[:4] == b"\0\0\x01\0" else False
            query = b"SELECT key FROM system.local"
            answer, _ = ask(0x07, struct.pack(">i", len(query)) + query + struct.pack(">HB", 1, 0))  # QUERY at ONE
            return answer == 0x08
    except (OSError, struct.error):
        return False


def text(value):
    return struct.pack(">H", len(value)) + value.encode()
