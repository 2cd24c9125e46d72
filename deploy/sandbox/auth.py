"""Who is asking, and what may they see and do.

A request is anonymous, a person (token), an installation of an App (token) or an App itself (JWT). The rules are
GitHub's as far as nodag meets them:

    read    public repositories: everyone. Private ones: their people, and installations that list them; for all
            others they do not exist (404, never 403). In a repository that an installation lists, reading needs the
            permission for it (403 otherwise) when the repository is private
    write   people of the repository; installations that list it and have the permission (403 otherwise)

JWTs are verified here in plain Python: RS256 is one modular power and a comparison (RFC 8017 §8.2.2, RFC 7518 §3.3).
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import subprocess
import time

from http_types import ApiError
from state import installation_has, parse_iso

JWT_LIFE_MAX_S = 600         # GitHub: exp at most ten minutes ahead
JWT_SKEW_S = 60              # and clocks may differ by this
OPENSSL_DEADLINE_S = 30
RSA_BITS = 2048
SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")     # DigestInfo, RFC 8017 §9.2


class Viewer:
    """Who asks: `kind` is anonymous, user, installation or app; `login` acts and appears in the log."""

    def __init__(self, state, kind, login, installation=None, app=None, grant=None, key="anonymous"):
        self.state = state
        self.kind = kind
        self.login = login
        self.installation = installation
        self.app = app
        self.grant = grant or {}     # a token's own narrowing: {permissions?, repositories?}
        self.key = key               # whose rate limit is used up

    def lists(self, repo):
        """Whether the repository is one of this installation token's."""
        chosen = self.grant.get("repositories")
        return (self.kind == "installation" and installation_has(self.installation, repo)
                and (chosen is None or repo["id"] in chosen))

    def belongs(self, repo):
        """Whether this person is one of the repository's."""
        if self.kind != "user":
            return False
        owner = self.state.account(repo["owner"])
        people = [repo["owner"], *owner["members"], *repo["collaborators"]]
        return self.login.lower() in (p.lower() for p in people)

    def sees(self, repo):
        return not repo["private"] or self.belongs(repo) or self.lists(repo)

    def permission(self, name):
        """"read", "write" or None for a permission of this installation token."""
        granted = self.installation["permissions"].get(name)
        chosen = self.grant.get("permissions")
        if chosen is None:
            return granted
        return min((granted or "", chosen.get(name) or "")) or None     # "" < "read" < "write"

    def demand(self, repo, name, level):
        """ApiError unless this viewer has the permission ("issues", "contents"...) at the level in the repository."""
        if self.kind == "installation":
            listed = self.lists(repo)
            if level == "read" and not repo["private"]:
                return
            if not listed or (self.permission(name) or "") < level:
                raise ApiError(403, "Resource not accessible by integration")
        elif level == "write":
            if self.kind == "anonymous":
                raise ApiError(401, "Requires authentication")
            if not self.belongs(repo):
                raise ApiError(403, "Must have admin rights to Repository." if name == "administration"
                               else "Resource not accessible by personal access token")


def identify(state, header):
    """The Viewer of an Authorization header (None: anonymous); ApiError 401 when it is no good."""
    if not header:
        return Viewer(state, "anonymous", "anonymous")
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ApiError(401, "Bad credentials") from error
    elif scheme.lower() not in ("bearer", "token"):
        raise ApiError(401, "Bad credentials")
    if value.count(".") == 2:
        return identify_app(state, value)
    return identify_token(state, value)


def identify_token(state, token):
    """The Viewer of a person's or an installation's token."""
    about = state.data["tokens"].get(token)
    if not about or (about["expires_at"] and parse_iso(about["expires_at"]) <= state.now()):
        raise ApiError(401, "Bad credentials")
    if "login" in about:
        return Viewer(state, "user", about["login"], key=f"user {about['login'].lower()}")
    installation = state.data["installations"][str(about["installation"])]
    if installation["suspended_at"]:
        raise ApiError(403, "This installation has been suspended")
    app = state.data["apps"][str(installation["app_id"])]
    return Viewer(state, "installation", app["slug"] + "[bot]", installation, app, about,
                  key=f"installation {installation['id']}")


# ---- App JWTs ----

def identify_app(state, jwt):
    """The Viewer of an App's JWT; messages are GitHub's."""
    undecodable = ApiError(401, "A JSON web token could not be decoded")
    try:
        head, claims, signature = (unpad(part) for part in jwt.split("."))
        head, claims = json.loads(head), json.loads(claims)
        issuer = str(claims["iss"])
        if head.get("alg") != "RS256":
            raise undecodable
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise undecodable from error
    app = next((a for a in state.data["apps"].values() if issuer in (str(a["id"]), a["client_id"])), None)
    if app is None:
        raise ApiError(404, "Integration not found")
    if not rs256_is_valid(app["public_key"], jwt.rpartition(".")[0].encode(), signature):
        raise undecodable
    check_claims(claims)
    return Viewer(state, "app", app["slug"], app=app, key=f"app {app['id']}")


def check_claims(claims):
    """ApiError 401 unless iat and exp are as GitHub wants them, by the real clock."""
    now = time.time()
    for name, wording in (("exp", "Expiration time"), ("iat", "Issued at")):
        if isinstance(claims.get(name), bool) or not isinstance(claims.get(name), (int, float)):
            raise ApiError(401, f"'{wording}' claim ('{name}') must be an Integer representing the "
                                "time that the assertion " + ("expires" if name == "exp" else "was issued"))
    if claims["exp"] <= now - JWT_SKEW_S:
        raise ApiError(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at "
                            "which the assertion expires")
    if claims["exp"] > now + JWT_LIFE_MAX_S + JWT_SKEW_S or claims["exp"] - claims["iat"] > JWT_LIFE_MAX_S + JWT_SKEW_S:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")
    if claims["iat"] > now + JWT_SKEW_S:
        raise ApiError(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion "
                            "was issued")


def rs256_is_valid(pem, message, signature):
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    modulus, exponent = rsa_numbers(pem)
    size = (modulus.bit_length() + 7) // 8
    if len(signature) != size:
        return False
    found = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(size, "big")
    digest = SHA256_PREFIX + hashlib.sha256(message).digest()
    return hmac.compare_digest(found, b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest)


def rsa_numbers(pem):
    """(modulus, exponent) of an RSA public key in PEM, SubjectPublicKeyInfo or PKCS #1; ValueError otherwise."""
    match = re.search(r"-----BEGIN (RSA )?PUBLIC KEY-----(.*?)-----END", pem, re.S)
    if not match:
        raise ValueError("not a public key in PEM (it begins with -----BEGIN PUBLIC KEY-----)")
    try:
        raw = base64.b64decode(match[2])
        if not match[1]:
            _, bits = der_items(der_items(raw)[0][1])
            raw = bits[1][1:]                   # a BIT STRING begins with the count of its unused bits
        numbers = [value for tag, value in der_items(der_items(raw)[0][1]) if tag == 2]
        return int.from_bytes(numbers[0], "big"), int.from_bytes(numbers[1], "big")
    except (IndexError, binascii.Error) as error:
        raise ValueError("not an RSA public key") from error


def der_items(raw):
    """The (tag, content) items of DER bytes, one level deep."""
    items, at = [], 0
    while at < len(raw):
        tag, length, at = raw[at], raw[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7f
            length, at = int.from_bytes(raw[at:at + count], "big"), at + count
        items.append((tag, raw[at:at + length]))
        at += length
    return items


def unpad(text):
    """base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_key_pair():
    """A new RSA key as (private PEM, public PEM), made by the openssl command."""
    private = subprocess.run(["openssl", "genrsa", str(RSA_BITS)], capture_output=True, check=True, text=True,
                             timeout=OPENSSL_DEADLINE_S).stdout
    public = subprocess.run(["openssl", "rsa", "-pubout"], input=private, capture_output=True, check=True, text=True,
                            timeout=OPENSSL_DEADLINE_S).stdout
    return private, public
