# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup import configuration, site
from thebox_bringup.graph import NODES
from thebox_bringup.layout import Wanted, lay_out
from thebox_bringup.settings import SettingsError, check_file, migrate_text
from thebox_bringup.upkeep import config
from thebox_webui.accounts import check_password, load_accounts

ROOT = Path(__file__).resolve().parents[3]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("/**/fusion:\n  ros__parameters:\n    publish_rat: 1.0\n", 3, "did you mean publish_rate"),
        ("/**/fusion:\n  ros__parameters:\n    publish_rate_max: -1.0\n", 3, "is outside"),
        (
            "/**/fusion:\n  ros__parameters:\n    publish_rate: 1.0\n    publish_rate: 2.0\n",
            4,
            "remove one",
        ),
        ("/**/fusion:\n\tros__parameters: {}\n", 2, "indent with spaces"),
        ("/**/fussion:\n  ros__parameters:\n    a: 1\n", 1, "is for no node"),
        ("# thebox-format: 99\n", 1, "use the release that wrote it"),
        (
            "/**/fusion:\n  ros__parameters:\n    tracker:\n      object_size: 0.5\n",
            4,
            "it is range.object_size now: ./thebox config migrate",
        ),
    ],
)
def test_error_names_file_and_line_and_what_to_do(
    tmp_path: Path, text: str, line: int, told: str
) -> None:
    path = written(tmp_path / "site.yaml", text)
    with pytest.raises(SettingsError) as raised:
        check_file(path, "/thebox")
    assert f"{path}:{line}" in str(raised.value)
    assert told in str(raised.value)


def test_old_file_is_migrated_and_then_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = "# ours\n/**/fusion:\n  ros__parameters:\n    tracker: {object_size: 0.6}\n"
    path = written(tmp_path / "site.yaml", old)
    assert config.main(["migrate", "--dry-run", str(path)]) == 0
    assert path.read_text() == old
    assert config.main(["migrate", str(path)]) == 0
    assert "fusion.tracker.object_size is range.object_size now" in capsys.readouterr().out
    assert check_file(path, "/thebox") == {"range": {"object_size": 0.6}}
    assert "# ours" in path.read_text()
    assert [p.read_text() for p in tmp_path.glob("*.before-*")] == [old]
    # What is up to date stays as it is, byte for byte.
    assert migrate_text(path.read_text(), path) == (path.read_text(), [])


def test_environment_wins_over_env_file_wins_over_parameter_file(tmp_path: Path) -> None:
    parameters = written(
        tmp_path / "site.yaml",
        "/**/panel: {ros__parameters: {port: 1001}}\n"
        "/**/rosbridge: {ros__parameters: {port: 1002}}\n"
        "/**/droneshield: {ros__parameters: {source: 'udp://127.0.0.1:1003'}}\n",
    )
    env = written(tmp_path / ".env", "# ours\nTHEBOX_PANEL_PORT=2001\nTHEBOX_BRIDGE_PORT='2002'\n")
    read = site.read(env, {"THEBOX_PANEL_PORT": "3001"})
    layout = lay_out(
        Wanted(
            config=parameters,
            site=read,
            simulated=False,
            settings=("droneshield.stamp_source=auto",),
        )
    )
    assert layout.values["panel"]["port"] == 3001
    assert layout.values["rosbridge"]["port"] == 2002
    assert layout.values["droneshield"]["source"] == "udp://127.0.0.1:1003"
    assert layout.overrides["panel"]["port"] == 3001
    bad = site.read(env, {"THEBOX_PANEL_CERTIFICATE": "x"})
    assert bad.origins["panel", "certfile"] == "environment variable THEBOX_PANEL_CERTIFICATE"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("THEBOX_PANEL_PORT = 1", "without spaces"),
        ("THEBOX_PANEL_PROT=1", "did you mean THEBOX_PANEL_PORT"),
        ("THEBOX_PANEL_PORT=many", "THEBOX_PANEL_PORT"),
        ("THEBOX_PANEL_PORT=70000", "is outside"),
        ("ROS_DOMAIN_ID=102", "write it like 0"),
        ("THEBOX_SENSORS=droneshield,sonar", "write it like"),
        ("THEBOX_PANEL_PASSWORD=long-enough", "chmod 600"),
        ("ROS_DOMAIN_ID=1\nROS_DOMAIN_ID=2", "a second time"),
    ],
)
def test_mistake_in_env_file_names_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path / ".env", f"# first\n{line}\n")
    path.chmod(0o644)
    with pytest.raises(SettingsError) as raised:
        site.read(path, {})
    number = 2 + line.count("\n")
    assert f"{path}:{number}: " in str(raised.value)
    assert told in str(raised.value)


def test_what_names_a_file_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = written(tmp_path / "site.env", f"THEBOX_CONFIG={tmp_path}/none.yaml\n")
    monkeypatch.setenv("THEBOX_ENV_FILE", str(env))
    monkeypatch.delenv("THEBOX_CONFIG", raising=False)
    assert config.main(["check"]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/none.yaml" in said
    assert f"THEBOX_CONFIG names it, in the environment or {env}" in said


def test_a_variable_that_sets_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THEBOX_ENV_FILE", str(written(tmp_path / "site.env", "")))
    monkeypatch.delenv("THEBOX_CONFIG", raising=False)
    monkeypatch.setenv("THEBOX_PANEL_PORTT", "1")
    # What ./thebox sets for itself is no mistake of the operator's.
    monkeypatch.setenv("THEBOX_ROOT", "/somewhere")
    assert config.main(["check"]) == 0
    said = capsys.readouterr().out
    assert "THEBOX_PANEL_PORTT sets nothing; did you mean THEBOX_PANEL_PORT?" in said
    assert "THEBOX_ROOT" not in said


def test_password_becomes_a_hash_and_leaves_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thebox_bringup.up import parser, site_defaults

    env = written(tmp_path / ".env", "THEBOX_PANEL_PASSWORD=long-enough\nTHEBOX_NAMESPACE=/bow\n")
    env.chmod(0o600)
    monkeypatch.setenv("THEBOX_PANEL_PASSWORD", "longer-still")
    read = site.read(env)
    accounts = tmp_path / "accounts.json"
    assert site.set_password(read, accounts)
    assert check_password("longer-still", load_accounts(accounts)["operator"].password_hash)
    # Known already: the file is left alone.
    before = accounts.stat().st_mtime_ns
    assert site.set_password(read, accounts) == ""
    assert accounts.stat().st_mtime_ns == before
    monkeypatch.setenv("THEBOX_NAMESPACE", "")
    assert site_defaults(parser(), read).parse_args([]).namespace == "/bow"
    assert "THEBOX_PANEL_PASSWORD" not in os.environ
    assert "longer-still" not in json.dumps(dict(os.environ))


def test_schemas_agree_with_the_checks() -> None:
    schema = json.loads(configuration.parameter_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    shipped = yaml.safe_load((ROOT / "src/thebox_bringup/config/thebox.yaml").read_text())
    assert list(validator.iter_errors(shipped)) == []
    nested = {"/thebox/dspnor": {"ros__parameters": {"control": {"port": 70000}}}}
    assert [error.json_path for error in validator.iter_errors(nested)] != []
    assert not validator.is_valid({"/**/fusion": {"ros__parameters": {"no_such": 1}}})
    assert len(schema["patternProperties"]) == len(NODES)
    variables = jsonschema.Draft202012Validator(json.loads(configuration.environment_schema()))
    examples = {one.name: one.example for one in site.variables() if one.example}
    assert list(variables.iter_errors(examples)) == []
    assert not variables.is_valid({"ROS_DOMAIN_ID": "102"})


def test_every_example_of_a_variable_can_be(tmp_path: Path) -> None:
    lines = [f"{one.name}={one.example}\n" for one in site.variables() if one.example]
    read = site.read(written(tmp_path / ".env", "".join(lines)), {})
    assert len(read.environment) == len(lines)
    assert config.parser().parse_args(["check"]).action == "check"
