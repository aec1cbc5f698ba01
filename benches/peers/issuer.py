"""A key pair, its key set, and a signed token: with the `openssl` program alone."""

import base64
import json
import subprocess
import time

KID = "bench"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self, folder, url):
        self.url = url
        self.private = folder / "private.pem"
        self.public = folder / "public.pem"
        openssl = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout
        openssl("genrsa", "-out", str(self.private), "2048")
        openssl("rsa", "-in", str(self.private), "-pubout", "-out", str(self.public))
        modulus = openssl("rsa", "-in", str(self.private), "-noout", "-modulus").decode().strip().partition("=")[2]
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID, "e": "AQAB", "n": base64url(bytes.fromhex(modulus))}
        self.key_set = json.dumps({"keys": [key]})

    def token(self):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "bench", "sub": "ada", "scope": "read", "iat": now, "exp": now + 7200}
        parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": KID}, claims)]
        signed = ".".join(parts)
        signing = ["openssl", "dgst", "-sha256", "-sign", str(self.private)]
        signature = subprocess.run(signing, input=signed.encode(), check=True, capture_output=True).stdout
        return f"{signed}.{base64url(signature)}"
