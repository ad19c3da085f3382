# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.supervision import Places
from thebox_bringup.upkeep import audit, support_bundle
from thebox_bringup.upkeep.inventory import take
from thebox_bringup.upkeep.redact import Redactor
from thebox_webui.accounts import Account, hash_password, save_accounts

PASSWORD = "Tr0ub4dor-and-3"  # noqa: S105 - planted, to be looked for
TOKEN = "c2VjcmV0LXRva2VuLW9mLWEtc2Vzc2lvbg"  # noqa: S105
PEM = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
PLANTED = {
    f"password={PASSWORD}",
    f"the password is {PASSWORD}",
    f'{{"user": "anna", "password": "{PASSWORD}"}}',
    f"panel_password: '{PASSWORD}'",
    f"--password {PASSWORD}",
    f"THEBOX_PANEL_PASSWORD={PASSWORD}",
    f"Cookie: thebox_session={TOKEN}; other={TOKEN}",
    f"set-cookie: thebox_session={TOKEN}; HttpOnly",
    f"Authorization: Bearer {TOKEN}",
    f"token: {TOKEN}",
    f"GET /bridge?token={TOKEN}&x=1",
    f"api_key = {TOKEN}",
    f"rtsp://camera:{PASSWORD}@192.168.1.20/stream",
    f"-----BEGIN PRIVATE KEY-----\n{PEM}\n-----END PRIVATE KEY-----",
    f"-----BEGIN RSA PRIVATE KEY-----\n{PEM}",
    f"ghp_{TOKEN}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.{TOKEN}",
    f"$6$saltsalt${TOKEN}",
    f"scrypt$32768$8$1$c2FsdA==${TOKEN}==",
}


@pytest.mark.parametrize("text", sorted(PLANTED))
def test_secret_goes(text: str) -> None:
    redacted = Redactor()(f"before\n{text}\nafter\n")
    for secret in (PASSWORD, TOKEN, PEM):
        assert secret not in redacted
    assert redacted.startswith("before\n")


@pytest.mark.parametrize(
    "text",
    [
        "fusion: 12 tracks, 3 confirmed, load 0.4",
        "accounts_file: /home/anna/.config/thebox/accounts.json",
        "keyfile: /etc/thebox/panel.key",
        "udp://0.0.0.0:50001",
        "session_hours: 12.0",
        "health_needs_login: false",
        "[INFO] [1700000000.5] [thebox.dspnor]: listening on udp://127.0.0.1:4010",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor()(text) == text


def test_bundle_of_a_box_full_of_secrets_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Places(tmp_path / "box" / "run", tmp_path / "box" / "log")
    where.run.mkdir(parents=True)
    where.log.mkdir()
    accounts, config, env = (tmp_path / name for name in ("accounts.json", "site.yaml", ".env"))
    hashed = hash_password(PASSWORD)
    save_accounts(accounts, {"anna": Account("anna", "operator", hashed)})
    config.write_text(
        f"# camera's password is {PASSWORD}\n"
        "/**/panel:\n  ros__parameters:\n"
        f"    accounts_file: {accounts}\n"
        "/**/trakka:\n  ros__parameters:\n"
        f"    video.source: rtsp://anna:{PASSWORD}@192.168.1.20/live\n"
    )
    env.write_text(f"ROS_DOMAIN_ID=7\nTHEBOX_PANEL_PASSWORD={PASSWORD}\n")
    env.chmod(0o600)
    # Bare, without a name that would tell: known from the site's own files.
    (where.log / "panel.log").write_text(
        "\n".join([*PLANTED, f"somebody typed {PASSWORD} as a user name", hashed])
    )
    monkeypatch.setenv("THEBOX_LAB_TOKEN", TOKEN)
    environment = {
        "THEBOX_ENV_FILE": str(env),
        "THEBOX_CONFIG": str(config),
        "THEBOX_LAB_TOKEN": TOKEN,
        "THEBOX_PANEL_PASSWORD": PASSWORD,
    }
    inventory = take(where, environment=environment)
    files, count = support_bundle.collect(where, inventory, 0.0, environment)
    target = tmp_path / "bundle.tar.gz"
    support_bundle.write(target, files)
    assert target.stat().st_mode & 0o777 == 0o600
    assert count >= len(PLANTED)
    with tarfile.open(target) as tar:
        names = {member.name.partition("/")[2] for member in tar}
        assert names >= {
            "doctor.json",
            "versions.json",
            "packages.txt",
            "box.json",
            "environment.txt",
            "parameters/site.yaml",
            "logs/panel.log",
        }
        salt, digest = hashed.split("$")[-2:]
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content is not None
            text = content.read().decode()
            for secret in (PASSWORD, TOKEN, PEM, salt, digest):
                assert secret not in text, f"{secret} is in {member.name}"
    assert "192.168.1.20/live" in files["parameters/site.yaml"]
    assert json.loads(files["box.json"])["running"] is False


def test_audit_never_takes_a_failed_look_for_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*command: object, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "Network is unreachable")

    monkeypatch.setattr(audit, "_run", offline)
    monkeypatch.setattr(audit, "tools", lambda root: tmp_path)
    monkeypatch.setattr(audit.shutil, "which", lambda name: "npm")
    assert audit.main(["--json", "--sbom", str(tmp_path / "sbom.json")]) == 3
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert [part["outcome"] for part in parts] == ["not checked"] * 4
    assert not (tmp_path / "sbom.json").exists()


def test_audit_tells_what_the_tools_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hole = {"id": "PYSEC-2020-1", "fix_versions": ["2.0"]}
    told = {
        "dependencies": [
            {"name": "old", "version": "1.0", "vulns": [hole]},
            {"name": "good", "version": "1.0", "vulns": []},
            {"name": "ours", "skip_reason": "not on the index"},
        ]
    }
    monkeypatch.setattr(
        audit,
        "_run",
        lambda *command, **more: subprocess.CompletedProcess([], 1, json.dumps(told), ""),
    )
    monkeypatch.setattr(audit, "tools", lambda root: tmp_path)
    assert audit.main(["--only", "pip-audit"]) == 1
    said = capsys.readouterr().out
    assert "old 1.0: PYSEC-2020-1, mended in 2.0" in said
    assert "1 in 2 packages; 1 are not on the index" in said
    with pytest.raises(SystemExit) as ended:
        audit.main(["--only", "everything"])
    assert ended.value.code == 2
