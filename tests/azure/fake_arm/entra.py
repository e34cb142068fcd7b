"""Tokens: as much of Microsoft Entra as a client needs to log in, and the check of the token."""

import base64
import json
import time

from tests.azure.fake_arm.model import TENANT, Arm, Ask, Json, Refused, Reply, route

EXPIRED = "expired"


def make_token(name: str = "tester") -> str:
    """Something with the three parts of a JWT; nobody checks its signature here, as no client does."""

    def part(value: Json) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"aud": "https://management.azure.com", "tid": TENANT, "oid": "0", "name": name, "appid": "0"}
    return ".".join((part({"alg": "none"}), part(claims | {"exp": int(time.time()) + 3600}), "signature"))


def open_to_all(path: str) -> bool:
    return "oauth2" in path or ".well-known" in path or "discovery" in path or path.startswith("/metadata/")


def check_token(headers: dict[str, str]) -> None:
    given = headers.get("authorization", "")
    if not given.startswith("Bearer "):
        raise Refused(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    if given.endswith(EXPIRED):
        raise Refused(
            401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."
        )
    if given.endswith("other-tenant"):
        raise Refused(
            401,
            "InvalidAuthenticationTokenTenant",
            "The access token is from the wrong issuer. It must match the tenant associated with this subscription.",
        )


@route("GET", "/{tenant}/v2.0/.well-known/openid-configuration")
@route("GET", "/{tenant}/.well-known/openid-configuration")
def configuration(arm: Arm, ask: Ask) -> Reply:
    root = f"https://login.microsoftonline.com/{TENANT}"
    return Reply(
        200,
        {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "issuer": f"{root}/v2.0",
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
        },
    )


@route("GET", "/common/discovery/instance")
def discovery(arm: Arm, ask: Ask) -> Reply:
    names = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
    entry = {"preferred_network": names[0], "preferred_cache": names[1], "aliases": names}
    return Reply(
        200,
        {
            "tenant_discovery_endpoint": f"https://{names[0]}/{TENANT}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [entry],
        },
    )


@route("POST", "/{tenant}/oauth2/v2.0/token")
def token(arm: Arm, ask: Ask) -> Reply:
    if ask.body.get("client_secret") == "wrong":
        return Reply(
            401,
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
                "error_codes": [7000215],
            },
        )
    return Reply(
        200, {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": make_token()}
    )
