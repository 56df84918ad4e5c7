"""Settings from the environment: the old server's names, our own, and clear errors."""

import pytest

from hfmodel_router.settings import InvalidSettings, RouterSettings, settings_from_environment


def test_defaults_need_no_environment() -> None:
    assert settings_from_environment({}) == RouterSettings()


def test_the_old_servers_names_work() -> None:
    settings = settings_from_environment(
        {
            "HOST": "0.0.0.0",
            "PORT": "9000",
            "API_KEY": "one, two",
            "CORS_ORIGINS": "https://a,https://b",
            "DEFAULT_MODEL": "gpt2",
            "ENABLE_METRICS": "false",
            "LOG_LEVEL": "INFO",
        }
    )
    assert settings == RouterSettings(
        host="0.0.0.0",
        port=9000,
        api_keys=("one", "two"),
        cors_origins=("https://a", "https://b"),
        default_model="gpt2",
        enable_metrics=False,
        log_level="INFO",
    )


def test_our_own_name_wins_over_the_old_one_and_what_is_given_over_both() -> None:
    environment = {"PORT": "1", "HFMODEL_PORT": "2", "HFMODEL_HOLD_TIMEOUT": "1.5"}
    assert settings_from_environment(environment).port == 2
    assert settings_from_environment({"API_KEY": "old", "HFMODEL_API_KEY": "new"}).api_keys == ("new",)
    assert settings_from_environment(environment, port=3, host=None) == RouterSettings(port=3, hold_timeout=1.5)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("PORT", "http", "PORT: must be a whole number"),
        ("HFMODEL_PORT", "70000", "port: 70000"),
        ("HFMODEL_HOLD_TIMEOUT", "soon", "HFMODEL_HOLD_TIMEOUT: must be a number of seconds"),
        ("HFMODEL_HOLD_TIMEOUT", "inf", "HFMODEL_HOLD_TIMEOUT"),
        ("HFMODEL_HOLD_TIMEOUT", "-1", "hold_timeout: must not be negative"),
        ("HFMODEL_MAX_HELD_PER_MODEL", "0", "max_held_per_model: must be greater than 0"),
        ("ENABLE_METRICS", "maybe", "ENABLE_METRICS: must be true or false"),
        ("LOG_LEVEL", "loud", "log_level: 'loud'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, text: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        settings_from_environment({name: text})


def test_a_key_is_never_shown() -> None:
    assert "s3cret" not in repr(RouterSettings(api_keys=("s3cret",)))
    with pytest.raises(InvalidSettings) as caught:
        RouterSettings(api_keys=("s3crét",))
    assert "s3cr" not in str(caught.value)
