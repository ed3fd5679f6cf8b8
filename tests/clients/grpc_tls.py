"""Asks a gRPC server over TLS whether it lives: with a client's certificate, without, and with a wrong authority.

    grpc_tls.py ADDRESS CA CERTIFICATE KEY WRONG-CA
"""
import sys

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

address, authority, certificate, key, stranger = sys.argv[1:]


def is_live(**options):
    client = tritonclient.grpc.InferenceServerClient(address, ssl=True, **options)
    return client.is_server_live(client_timeout=20)


def refused(**options):
    try:
        is_live(**options)
    except InferenceServerException as error:
        assert error.status() == "StatusCode.UNAVAILABLE", error
    else:
        raise AssertionError(f"answered {options}")


ours = {"private_key": key, "certificate_chain": certificate}
assert is_live(root_certificates=authority, **ours)
refused(root_certificates=authority)
refused(root_certificates=stranger, **ours)
