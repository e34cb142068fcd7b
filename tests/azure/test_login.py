"""Who we are for Azure: the order of credentials, the clouds, the subscription; no identity is looked for unasked."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from azready.azure import clouds, credentials, keys, own_address, subscriptions
from azready.errors import Failure, UsageFailure

APPLICATION = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}


@pytest.mark.parametrize(
    ("environment", "tools", "expected"),
    [
        (APPLICATION | {"AZURE_CLIENT_SECRET": "s", "AZURE_FEDERATED_TOKEN_FILE": "f"}, {"az"}, "environment"),
        (APPLICATION | {"AZURE_CLIENT_CERTIFICATE_PATH": "p"}, set(), "environment"),
        (APPLICATION | {"AZURE_FEDERATED_TOKEN_FILE": "f"}, {"az"}, "workload-identity"),
        (
            APPLICATION | {"ACTIONS_ID_TOKEN_REQUEST_URL": "u", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"},
            {"az"},
            "github",
        ),
        ({"AZURE_CLIENT_SECRET": "s"}, {"az", "azd"}, "az"),
        ({}, {"azd"}, "azd"),
    ],
)
def test_the_order_of_credentials(environment: dict[str, str], tools: set[str], expected: str) -> None:
    assert credentials.choose("auto", environment, tools.__contains__) == expected


def test_a_managed_identity_only_on_request() -> None:
    with pytest.raises(Failure, match="no Azure login was found"):
        credentials.choose("auto", {"IDENTITY_ENDPOINT": "http://169.254.169.254"}, lambda tool: False)
    assert credentials.choose("managed-identity", {}, lambda tool: False) == "managed-identity"


def test_the_github_token_is_asked_for_with_entras_audience() -> None:
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"value": "assertion"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/token?v=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
    }
    try:
        assert credentials.github_assertion(environment) == "assertion"
    finally:
        server.shutdown()
        server.server_close()
    assert asked == [("/token?v=1&audience=api://AzureADTokenExchange", "Bearer t")]


AZ = """#!/bin/sh
echo "$*" >>"$0.asked"
printf '{"accessToken": "x.y.z", "expires_on": 4000000000, "tenant": "t", "tokenType": "Bearer"}'
"""


@pytest.mark.parametrize(("subscription", "named"), [("", False), ("two", True), ("My Team", True), ("a;b", False)])
def test_az_is_asked_for_a_token_of_the_subscriptions_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subscription: str, named: bool
) -> None:
    """az may be set to another tenant than the subscription's, and be logged in to both."""
    (tmp_path / "az").write_text(AZ)
    (tmp_path / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    credential = credentials.make("az", clouds.CLOUDS["AzureCloud"], {}, subscription)
    assert credential.get_token("https://management.azure.com/.default").token == "x.y.z"
    asked = (tmp_path / "az.asked").read_text()
    assert (f"--subscription {subscription}" in asked) == named if subscription else "--subscription" not in asked


def test_a_device_code_is_taken_on_request_and_nothing_of_the_library_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert credentials.choose("device-code", {}, lambda tool: True) == "device-code"
    assert credentials.make("device-code", clouds.CLOUDS["AzureCloud"], {})
    logging.getLogger("azure.identity").warning("EnvironmentCredential.get_token failed")
    assert caplog.records == []


def test_the_cloud_that_az_was_set_to(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[cloud]\nname = AzureUSGovernment\n")
    environment = {"AZURE_CONFIG_DIR": str(tmp_path)}
    assert clouds.choose("", environment).scope == "https://management.core.usgovcloudapi.net/.default"
    assert clouds.choose("azurechinacloud", environment).arm == "https://management.chinacloudapi.cn"
    assert clouds.choose("", {"HOME": str(tmp_path / "nobody")}).name == "AzureCloud"


def test_clouds_agree_with_azures_own_library() -> None:
    from azure.core import AzureClouds
    from azure.mgmt.core.tools import get_arm_endpoints

    pairs = {
        "AzureCloud": AzureClouds.AZURE_PUBLIC_CLOUD,
        "AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT,
        "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD,
    }
    for name, setting in pairs.items():
        theirs = get_arm_endpoints(setting)
        assert clouds.CLOUDS[name].arm == theirs["resource_manager"].rstrip("/")
        assert [clouds.CLOUDS[name].scope] == theirs["credential_scopes"]


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[dict[str, str]]:
    entries = [{"id": "one", "isDefault": False}, {"id": "two", "isDefault": True}]
    (tmp_path / "azureProfile.json").write_text(json.dumps({"subscriptions": entries}), encoding="utf-8-sig")
    yield {"AZURE_CONFIG_DIR": str(tmp_path)}


def test_the_subscription_asked_for_then_the_environments_then_azs(profile: dict[str, str]) -> None:
    assert subscriptions.wanted("x", profile | {"AZURE_SUBSCRIPTION_ID": "y"}) == "x"
    assert subscriptions.wanted("", profile | {"AZURE_SUBSCRIPTION_ID": "y"}) == "y"
    assert subscriptions.wanted("", profile) == "two"
    assert subscriptions.wanted("", {"HOME": "/nonexistent"}) == ""


def test_a_name_that_two_subscriptions_have_is_refused() -> None:
    rows = [{"subscriptionId": str(number), "displayName": "Team"} for number in range(2)]
    with pytest.raises(Failure, match="several subscriptions are called 'Team'"):
        subscriptions.pick({"value": rows}, "Team")


def test_a_new_key_is_private_and_kept(tmp_path: Path) -> None:
    public = keys.make(tmp_path / "new" / "key")
    assert public.startswith("ssh-rsa ") and (tmp_path / "new/key").stat().st_mode & 0o777 == 0o600
    assert keys.make(tmp_path / "new" / "key") == public == keys.read_public(tmp_path / "new" / "key")


@pytest.mark.parametrize("text", ["", "ecdsa-sha2-nistp256 AAAA x", "ssh-rsa AAAA\nssh-rsa BBBB"])
def test_a_key_that_azure_refuses_is_refused_here(tmp_path: Path, text: str) -> None:
    (tmp_path / "id.pub").write_text(text)
    with pytest.raises(UsageFailure, match="does not hold one key"):
        keys.read_public(tmp_path / "id")


def test_an_address_becomes_a_network() -> None:
    assert own_address.parse("203.0.113.7") == "203.0.113.7/32"
    assert own_address.parse("198.51.100.9/24") == "198.51.100.0/24"
    with pytest.raises(UsageFailure, match="is not an address"):
        own_address.parse("*")


def test_an_address_that_cannot_be_found_is_asked_for() -> None:
    """In this namespace nobody answers."""
    with pytest.raises(Failure, match="public address cannot be found"):
        own_address.source_of_ssh("auto", lambda text: None)
