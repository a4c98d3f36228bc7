"""Settings: where they come from, which wins, and what is refused."""

from pathlib import Path

import pytest

from homeport.config import SettingsError, load_settings, split_listen


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_no_setting_is_needed() -> None:
    settings = load_settings()

    assert settings.address == ("127.0.0.1", 8080)
    assert settings.effective_tls == "off"
    assert settings.effective_database_url.startswith("sqlite:////")


def test_option_wins_over_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "homeport.toml").write_text('listen = "127.0.0.1:1"\nworkers = 3\ntoken_ttl_s = 99\n')
    monkeypatch.setenv("HOMEPORT_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("HOMEPORT_WORKERS", "4")

    settings = load_settings(listen="127.0.0.1:3", workers=None)

    assert (settings.listen, settings.workers, settings.token_ttl_s) == ("127.0.0.1:3", 4, 99)


def test_hostname_alone_turns_tls_on() -> None:
    assert load_settings(hostname="registry.example.com").effective_tls == "auto"
    assert load_settings(hostname="registry.example.com", tls="off").effective_tls == "off"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "nowhere"),
        ("listen", "127.0.0.1:99999"),
        ("workers", 0),
        ("role", "boss"),
        ("tls", "cert.pem"),
        ("storage", "ftp://x"),
        ("external_url", "registry.example.com"),
        ("trusted_proxies", "10.0.0.0/99"),
        ("body_timeout_s", 0),
        ("manifest_max_bytes", 1024),
        ("unheard_of", "x"),
    ],
)
def test_wrong_value_names_its_setting(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings(**{name: value})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_listen_is_split(text: str, expected: tuple[str, int]) -> None:
    assert split_listen(text) == expected


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEPORT_ADMIN_PASSWORD", "very-hidden-1")
    monkeypatch.setenv("HOMEPORT_SECRET_KEY", "very-hidden-2")
    settings = load_settings(database_url="postgresql://user:very-hidden-3@host/name")

    assert "very-hidden" not in repr(settings)
    assert "very-hidden" not in str(settings)


def test_secrets_do_not_show_in_errors() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(admin_password="very-hidden-1", role="boss")

    assert "very-hidden" not in str(caught.value)
