"""The environment is read once, wrong values are named, secrets stay secret, and docs/settings.md tells it all."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from lifelearn.settings import Settings, SettingsError, load_settings, settings_table

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
KEY = "sk-very-secret-key"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LL_") or name.upper() == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def test_the_defaults_need_neither_key_nor_network() -> None:
    settings = load_settings()
    assert settings.inference_backend == "local"
    assert settings.base_model_name == "bundled"
    assert settings.database_url.startswith("sqlite:")
    assert settings.local_structured
    assert not settings.has_expert


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "OPENAI_API_KEY": KEY,
        "LL_TRAIN_LR": "5e-5",
        "LL_TRAIN_METHOD": "full",
        "LL_CACHE_DIR": "~/elsewhere",
        "LL_OPENAI_BASE_URL": "",  # empty is unset
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == KEY
    assert settings.train_lr == 5e-5
    assert settings.train_method == "full"
    assert settings.cache_dir == Path.home() / "elsewhere"
    assert settings.openai_base_url is None
    assert settings.has_expert


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", None),
        ("*", "*"),
        ("https://Tools.Example.org:443, http://localhost:5173,", "https://tools.example.org,http://localhost:5173"),
        ("http://[::1]:80,http://[::1]", "http://[::1]"),
    ],
)
def test_origins_are_kept_as_browsers_write_them(given: str, kept: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_CORS_ORIGINS", given)
    assert load_settings().cors_origins == kept


@pytest.mark.parametrize(
    "given",
    [
        "tools.example.org",
        "https://tools.example.org/",
        "https://tools.example.org/path",
        "https://anna@tools.example.org",
        "https://*.example.org",
        "https://tools.example.org,*",
        "https://tools.example.org:0",
        "https://tools.example.org:70000",
        "https://bücher.example",
        "ftp://tools.example.org",
        "null",
    ],
)
def test_what_is_no_origin_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_CORS_ORIGINS", given)
    with pytest.raises(SettingsError, match=r"^LL_CORS_ORIGINS=.* cannot be used: .*without a path"):
        load_settings()


@pytest.mark.parametrize("tenant", ["common", "organizations", "Consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"])
def test_addresses_of_everybody_are_not_trusted(tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_OIDC_TRUST_EMAILS", "true")
    with pytest.raises(SettingsError, match="needs LL_OIDC_ISSUER"):
        load_settings()
    monkeypatch.setenv("LL_OIDC_CLIENT_ID", "workspace")
    monkeypatch.setenv("LL_OIDC_ISSUER", f"https://login.microsoftonline.com/{tenant}/v2.0")
    with pytest.raises(SettingsError, match="an issuer of all tenants"):
        load_settings()
    monkeypatch.setenv("LL_OIDC_ISSUER", "https://login.microsoftonline.com/0f0e0d0c-1111-2222-3333-444455556666/v2.0")
    assert load_settings().oidc_trust_emails


def test_a_file_named_env_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("LL_TRAIN_SEED=7\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().train_seed == 0


@pytest.mark.parametrize(
    ("environment", "expert", "local"),
    [
        ({}, False, True),
        ({"OPENAI_API_KEY": KEY}, True, False),
        ({"LL_OPENAI_BASE_URL": "http://localhost:8000/v1"}, True, False),  # local servers need no key
        ({"OPENAI_API_KEY": KEY, "LL_USE_LOCAL_STRUCTURED": "true"}, True, True),
    ],
)
def test_the_expert_and_local_structured(
    environment: dict[str, str], expert: bool, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.has_expert, settings.local_structured) == (expert, local)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LL_TRAIN_LR", "fast", "LL_TRAIN_LR=fast cannot be used: a number above 0 up to 0.1."),
        ("LL_TRAIN_LR", "nan", "LL_TRAIN_LR=nan cannot be used: a number above 0 up to 0.1."),
        ("LL_TRAIN_EPOCHS", "0", "LL_TRAIN_EPOCHS=0 cannot be used: a whole number from 1 up to 100."),
        ("LL_TRAIN_EPOCHS", "1.5", "LL_TRAIN_EPOCHS=1.5 cannot be used: a whole number from 1 up to 100."),
        ("LL_TRAIN_METHOD", "qlora", "LL_TRAIN_METHOD=qlora cannot be used: one of `lora`, `full`."),
        ("LL_USE_LOCAL_STRUCTURED", "maybe", "LL_USE_LOCAL_STRUCTURED=maybe cannot be used: `true` or `false`."),
        ("LL_OPENAI_BASE_URL", "ftp://x", "LL_OPENAI_BASE_URL=ftp://x cannot be used: URL of .* with http://"),
        ("LL_DATABASE_URL", "mysql://u:pw@x", "LL_DATABASE_URL=mysql://\\*\\*\\*@x cannot be used: .*SQLAlchemy"),
        ("LL_INFERENCE_BACKEND", "openai", "LL_INFERENCE_BACKEND=openai needs a server. Set OPENAI_API_KEY"),
        ("LL_USE_LOCAL_STRUCTURED", "false", "LL_USE_LOCAL_STRUCTURED=false needs a server."),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_each_wrong_variable_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LL_TRAIN_SEED", "-1")
    monkeypatch.setenv("LL_VERIFY_MAX_DRIFT", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.split("=")[0] for line in str(caught.value).splitlines()] == ["LL_TRAIN_SEED", "LL_VERIFY_MAX_DRIFT"]


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("LL_DATABASE_URL", "postgresql://me:pass-word@host/db")
    settings = load_settings()
    assert KEY not in f"{settings!r} {settings}"
    assert "pass-word" not in f"{settings!r} {settings}"
    monkeypatch.setenv("LL_SECRET_KEY", "too-short")
    with pytest.raises(SettingsError, match=r"LL_SECRET_KEY cannot be used: .*32 characters") as caught:
        load_settings()
    shown = "".join(traceback.format_exception(caught.value))
    assert "too-short" not in shown
    assert KEY not in shown


def test_an_unknown_variable_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("LL_TRAIN_EPOCH", "LL_OPENAI_API_KEY", "LL_COLOUR_OF_THE_SKY", "UNRELATED"):
        monkeypatch.setenv(name, "a-value")
    with caplog.at_level(logging.WARNING):
        load_settings()
    assert "LL_TRAIN_EPOCH is not a setting and has no effect; is LL_TRAIN_EPOCHS" in caplog.text
    assert "is OPENAI_API_KEY" in caplog.text
    assert "LL_COLOUR_OF_THE_SKY is not a setting and has no effect." in caplog.text
    assert "UNRELATED" not in caplog.text
    assert "a-value" not in caplog.text


def test_every_setting_is_documented_and_bounded() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if field.annotation in (int, float):
            assert len(field.metadata) >= 2, f"{name} needs a lower and an upper bound"


def test_the_documents_have_every_setting() -> None:
    found = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert found, "docs/settings.md has no <!-- settings --> … <!-- /settings --> markers"
    assert found[1].strip() == settings_table(), "put the output of `python -m lifelearn.settings` between the markers"


def test_the_module_prints_the_table() -> None:
    printed = subprocess.run([sys.executable, "-m", "lifelearn.settings"], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == settings_table()
