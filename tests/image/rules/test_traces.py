# ruff: noqa: E501 (tables)
"""Identities and secrets of the builder, and what looks like one and is none: one image has all of them."""

from pathlib import Path

import pytest

from azready.image.checking import Found, Passed, ask
from azready.image.facts import Facts
from azready.image.rules import RULES
from azready.image.targets.tree import Tree
from tests.image.sample import good_image

_PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvg\n"
SHOWN = {
    "etc/opt/microsoft/mdatp/mdatp_onboard.json": "{}\n",
    "etc/opt/microsoft/omsagent/ab-cd/conf/omsadmin.conf": "WORKSPACE_ID=1\n",
    "etc/qualys/hostid": "1\n",
    "etc/tenable_tag": "1\n",
    "opt/splunkforwarder/etc/instance.cfg": "[general]\nguid = 1\n",
    "var/lib/cmk-agent/registered_connections.json": "{}\n",
    "var/lib/icinga2/certs/host.key": _PEM,
    "var/lib/rabbitmq/.erlang.cookie": "ABCDEF\n",
    "var/lib/tor/keys/ed25519_master_id_secret_key": "x\n",
    "var/lib/tor/web/hs_ed25519_secret_key": "x\n",
    "var/db/tang/abc.jwk": "{}\n",
    "etc/anydesk/service.conf": "ad.anynet.pkey=1\n",
    "var/lib/systemd/tpm2-srk-public-key.pem": "x\n",
    "etc/cloudflared/tunnel.json": "{}\n",
    "home/user/actions-runner/.credentials": "{}\n",
    "var/lib/jenkins/secrets/master.key": "x\n",
    "root/.config/openstack/clouds.yaml": "clouds: {}\n",
    "root/.oci/oci_api_key.pem": _PEM,
    "home/user/.databrickscfg": "[DEFAULT]\n",
    "root/.smbcredentials": "password=x\n",
    "root/.config/sops/age/keys.txt": "AGE-SECRET-KEY-1\n",
    "home/user/.vault_pass.txt": "x\n",
    "root/.acme.sh/account.conf": "ACCOUNT_KEY=1\n",
    "home/user/.local/share/keyrings/login.keyring": "x\n",
    "etc/letsencrypt/archive/x/privkey1.pem": _PEM,
    "etc/ssl/private/web.key": _PEM,
    "etc/nginx/ssl/web.pem": _PEM,
    "var/lib/caddy/.local/share/caddy/certificates/acme-v02/x.org/x.org.key": _PEM,
    "opt/traefik/acme.json": '{"Account": {"PrivateKey": "x"}}\n',
    "etc/swanctl/private/x.pem": _PEM,
    "etc/ipsec.secrets": ': PSK "secret"\n',
    "etc/openvpn/client/static.key": "-----BEGIN OpenVPN Static key V1-----\n",
    "etc/openvpn/client/auth.txt": "user\npassword\n",
    "etc/kubernetes/pki/ca.key": _PEM,
    "etc/ppp/chap-secrets": "user * secret *\n",
    "etc/NetworkManager/system-connections/home.nmconnection": "[connection]\ntype=wifi\n[wifi-security]\npsk=secret12\n",
    "etc/wpa_supplicant/wpa_supplicant.conf": 'network={\n  ssid="x"\n  psk="secret12"\n}\n',
    "etc/netplan/60-wifi.yaml": 'network:\n  wifis:\n    wl0:\n      access-points:\n        "x":\n          password: "secret12"\n',
    "var/lib/iwd/home.psk": "[Security]\nPassphrase=secret12\n",
    "etc/smbcredentials/account.cred": "username=a\npassword=b\n",
    "etc/davfs2/secrets": "https://x user secret\n",
    "etc/zabbix/zabbix_agentd.psk": "0123456789abcdef0123456789abcdef\n",
    "etc/telegraf/telegraf.conf": '[[outputs.influxdb_v2]]\n  token = "secret"\n',
    "etc/datadog-agent/datadog.yaml": "api_key: 0123\n",
    "etc/gitlab-runner/config.toml": '[[runners]]\n  token = "glrt-x"\n',
    "etc/mosquitto/passwd": "user:$7$101$x\n",
    "etc/mysql/debian.cnf": "[client]\npassword = x\n",
    "etc/redis/redis.conf": "requirepass x\n",
    "var/lib/postgresql/.pgpass": "*:*:*:me:x\n",
    "etc/postfix/sasl_passwd": "[smtp.x]:587 user:secret\n",
    "etc/msmtprc": "account x\npassword secret\n",
    "etc/ansible/.vault_pass": "x\n",
    "etc/credstore/db.password": "x\n",
    "etc/credstore.encrypted/db.password": "x\n",
    "etc/cryptsetup-keys.d/data.key": "x\n",
    "etc/bind/rndc.key": 'key "rndc-key" {\n  secret "x";\n};\n',
    "etc/ceph/ceph.client.admin.keyring": "[client.admin]\n  key = AQ==\n",
    "var/lib/snmp/snmpd.conf": "oldEngineID 0x80\n",
    "etc/environment": "PATH=/bin\nexport GITHUB_TOKEN=ghp_123456\n",
    "root/.bashrc": "export AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI'\n",
    "srv/app/.env": "DATABASE_PASSWORD=hunter22\n",
    "root/.m2/settings.xml": "<password>x</password>\n",
    "root/.config/pip/pip.conf": "[global]\nindex-url = https://me:x@pypi.internal/simple\n",
    "home/user/.yarnrc.yml": 'npmAuthToken: "x"\n',
    "etc/systemd/network/wg0.netdev": "[WireGuard]\nPrivateKey=x\n",
    "etc/wireguard/wg0.key": f"{'A' * 43}=\n",
}
NOT_SHOWN = {
    "etc/ppp/pap-secrets": '# client server secret\n*\thostname\t""\t*\nguest\thostname\t"*"\t-\n',
    "etc/wpa_supplicant/action.conf": "# psk=example\n",
    "etc/samba/smb.conf": "passwd program = /usr/bin/passwd %u\n",
    "etc/telegraf/telegraf.d/a.conf": '  # token = "x"\n  token = "$INFLUX_TOKEN"\n',
    "etc/mysql/conf.d/mysql.cnf": "[mysql]\n# password = your_password\n",
    "etc/mosquitto/mosquitto.conf": "password_file /etc/mosquitto/passwd\n",
    "etc/fstab": "UUID=1 / ext4 defaults 0 1\n//h/s /s cifs credentials=/etc/c,nofail 0 0\n",
    "etc/ipsec.d/private/README": "put keys here\n",
    "etc/profile.d/a.sh": "export PASSWORD_STORE_DIR=/x\nTOKEN=\nAPI_KEY=$(cat /run/key)\n",
    "etc/ssl/private/.keep": "",
    "etc/credstore/.keep": "",
    "etc/redis/sentinel.conf": "# requirepass foobared\n",
    "etc/NetworkManager/system-connections/wired.nmconnection": "[connection]\ntype=ethernet\n[802-3-ethernet]\n",
    "etc/netplan/50-a.yaml": "network: {version: 2}\n",
    "etc/postfix/main.cf": "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd\n",
}


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    sample = good_image(tmp_path)
    for path, text in {**SHOWN, **NOT_SHOWN}.items():
        sample.write(path, text)
    return Facts(Tree(tmp_path))


def test_every_identity_and_secret_is_found_and_nothing_else(facts: Facts) -> None:
    answer = ask(next(rule for rule in RULES if rule.id == "G25"), facts)
    assert isinstance(answer, Found)
    assert {finding.path for finding in answer.findings} == set(SHOWN)


def test_the_password_of_a_file_share_in_fstab_is_found(tmp_path: Path) -> None:
    good_image(tmp_path).write("etc/fstab", "//h/s /s cifs username=a,password=b,nofail 0 0\n")
    answer = ask(next(rule for rule in RULES if rule.id == "G25"), Facts(Tree(tmp_path)))
    assert isinstance(answer, Found) and [finding.where for finding in answer.findings] == ["etc/fstab:1"]


def test_an_image_without_any_passes(tmp_path: Path) -> None:
    good_image(tmp_path)
    assert ask(next(rule for rule in RULES if rule.id == "G25"), Facts(Tree(tmp_path))) == Passed()
