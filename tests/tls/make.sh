#!/bin/sh
# The certificates of the TLS tests, valid for a hundred years: an authority, a node's certificate
# with its IP address, one without, a client's, and an authority that signed nothing.
set -eu
cd "$(dirname "$0")"
days=36500
subject() { printf '/O=helenus tests/CN=%s' "$1"; }
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -days $days -subj "$(subject "$1")" -out "$1.pem"
}
signed() { # name, extensions
  key "$1"
  openssl req -new -key "$1.key" -subj "$(subject "$1")" |
    openssl x509 -req -CA ca.pem -CAkey ca.key -days $days -extfile /dev/fd/3 -out "$1.pem" 3<<END
basicConstraints = CA:FALSE
$2
END
}
authority ca
authority stranger
signed node 'subjectAltName = IP:127.0.0.1'
signed nameless 'subjectAltName = DNS:cassandra.example'
signed client 'extendedKeyUsage = clientAuth'
rm -f ca.key stranger.key *.srl
