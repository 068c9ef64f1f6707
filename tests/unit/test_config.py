"""Settings: which source wins, what is refused, and what is never repeated."""

from __future__ import annotations

import os

import pytest

from esync import config
from esync.errors import SettingError

SECRET = "hunter2-ÜX"


def find_dsn(option=None, **environ):
    return config.find_dsn(option, environ)


def test_dsn_sources_go_in_the_documented_order():
    environ = {
        "ESYNC_DSN": "postgresql://second",
        "DATABASE_URL": "postgresql://third",
        "DB_HOST": "fourth",
        "PGHOST": "fifth",
    }
    found = [find_dsn("postgresql://first", **environ)]
    for name in list(environ):
        found.append(find_dsn(**environ))
        del environ[name]
    assert found == [
        "postgresql://first",
        "postgresql://second",
        "postgresql://third",
        "host='fourth'",
        "",
    ]


def test_no_dsn_anywhere_names_how_to_give_one():
    with pytest.raises(config.NoDatabaseError, match="ESYNC_DSN"):
        find_dsn(PGUSER="me", PGPASSWORD="x")


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
def test_an_empty_variable_counts_as_not_given(empty):
    with pytest.raises(config.NoDatabaseError):
        find_dsn(empty, ESYNC_DSN=empty, DATABASE_URL=empty)


def test_the_variables_of_the_original_are_quoted():
    dsn = find_dsn(DB_HOST="db", DB_USER="me", DB_PASS="it's \\ here", DB_DB="app", DB_PORT="5433")
    assert dsn == r"host='db' port='5433' user='me' password='it\'s \\ here' dbname='app'"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me@host/db",
        "postgres://[::1]:5432/db?sslmode=require",
        "POSTGRESQL://host",
        "host=/tmp dbname=app",
        "embedded",
    ],
)
def test_what_looks_like_a_dsn_is_taken(dsn):
    assert find_dsn(dsn) == dsn


@pytest.mark.parametrize(
    "dsn",
    [
        f"mysql://me:{SECRET}@host/db",
        f"me:{SECRET}@host",
        SECRET,
        f"postgresql://me:{SECRET}\x00@host",
        f"postgresql://me:{SECRET}\x1b]52;c;x\x07@host",
        f"host=a\npassword={SECRET}",
    ],
)
def test_anything_else_is_refused_without_repeating_it(dsn):
    with pytest.raises(SettingError) as caught:
        find_dsn(ESYNC_DSN=dsn)
    assert "ESYNC_DSN must be" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql://me:{SECRET}@host/db", "postgresql://me:***@host/db"),
        ("postgres://me:a/b?c#d@host/db", "postgres://me:***@host/db"),
        ("postgres://me:a@b@host/db", "postgres://me:***@host/db"),
        (f"postgresql://h/db?user=x&password={SECRET}&a=b", "postgresql://h/db?user=x&password=***&a=b"),
        (f"host=h password={SECRET} dbname=d", "host=h password=*** dbname=d"),
        (f"password = '{SECRET} it\\'s' user=u", "password = *** user=u"),
        (rf"password={SECRET}\ more user=u", "password=*** user=u"),
        (f"password='{SECRET} never closed", "password=***"),
        (f"sslpassword={SECRET}", "sslpassword=***"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("nothing secret", "nothing secret"),
    ],
)  # fmt: skip
def test_redact_hides_passwords_and_nothing_else(text, shown):
    assert config.redact(text) == shown


def test_the_repr_of_a_place_hides_the_dsn():
    assert SECRET not in repr(config.Place(dsn=f"postgresql://me:{SECRET}@h/d"))


def find_table(schema=None, table=None, file=None, **environ):
    return config.find_table(schema=schema, table=table, environ=environ, file=file)


def test_table_and_schema_have_defaults():
    assert find_table() == ("public", "message_queue")


def test_option_beats_environment_beats_file_for_the_table():
    file = {"table": "f", "schema": "fs"}
    assert find_table(file=file) == ("fs", "f")
    assert find_table(file=file, DB_TABLE="d") == ("fs", "d")
    assert find_table(file=file, DB_TABLE="d", ESYNC_TABLE="e", ESYNC_SCHEMA="es") == ("es", "e")
    assert find_table("o", "t", file=file, ESYNC_TABLE="e", ESYNC_SCHEMA="es") == ("o", "t")


def test_schema_and_table_may_be_given_as_one():
    assert find_table(table="app.queue") == ("app", "queue")
    assert find_table("app", "app.queue") == ("app", "queue")


def test_two_different_schemas_are_refused():
    with pytest.raises(SettingError, match="schema 'other'"):
        find_table("other", "app.queue")


@pytest.mark.parametrize(
    "name",
    ['q"; drop table x; --', "a.b.c", "Über", "two words", "1st", "a" * 49, "a\x00b", "a\n", "."],
)
def test_other_table_names_are_refused(name):
    with pytest.raises(SettingError):
        find_table(table=name)


@pytest.mark.parametrize("name", ["a", "_", "A" * 48, "message_queue", "select"])
def test_table_names_that_are_taken(name):
    assert find_table(table=name) == ("public", name)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30), ("10m", 600), ("1h", 3600), ("2d", 172800), ("1h30m", 5400), ("250ms", 0.25),
        ("1.5h", 5400), ("3", 3), ("0.5", 0.5), (" 7s ", 7), ("0", 0),
    ],
)  # fmt: skip
def test_durations(text, seconds):
    assert config.parse_seconds("lease", text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "-1", "-1s", "nan", "inf", "1e9", "1 h", "1w", "h", "1hh", "٣s", "1" * 41, "1.s",
        True,
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SettingError, match="lease must be a duration"):
        config.parse_seconds("lease", text)


def test_option_beats_environment_beats_file_for_worker_settings():
    options = {"lease": "9s"}
    environ = {"ESYNC_LEASE": "8", "ESYNC_POLL": "2"}
    file = {"lease": 7, "poll": 3, "grace": 0}
    found = config.find_worker_settings(options, environ, file)
    assert found == {"lease": 9, "poll": 2, "grace": 0}


def test_a_bad_value_is_reported_with_its_source():
    with pytest.raises(SettingError, match="ESYNC_GRACE must be a duration"):
        config.find_worker_settings({}, {"ESYNC_GRACE": "soon"}, {})


def test_app_comes_from_option_environment_or_file():
    file, environ = {"app": "f:f"}, {"ESYNC_APP": "e:e"}
    assert config.find_app("o:o", environ, file) == "o:o"
    assert config.find_app(None, environ, file) == "e:e"
    assert config.find_app(None, {}, file) == "f:f"
    with pytest.raises(SettingError, match="ESYNC_APP"):
        config.find_app(None, {"ESYNC_APP": " "}, {})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pyproject.toml"


def test_a_missing_file_and_a_missing_table_are_empty(file):
    assert config.read_file(file) == {}
    file.write_text("[project]\nname = 'x'\n")
    assert config.read_file(file) == {}


def test_the_table_of_the_file_is_read(file):
    file.write_text("[tool.esync]\napp = 'a:b'\nlease = 3\npoll = '500ms'\ntable = 'q'\n")
    assert config.read_file(file) == {"app": "a:b", "lease": 3, "poll": "500ms", "table": "q"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[tool.esync]\nleese = 3\n", "'leese'"),
        ("[tool.esync]\ndsn = 'postgresql://x'\n", "'dsn'"),
        ("[tool.esync]\nlease = true\n", "lease in \\[tool.esync\\] must be seconds"),
        ("[tool.esync]\napp = 3\n", "app in \\[tool.esync\\] must be text"),
        ("[tool.esync]\nlease = 1\nlease = 2\n", "line 3"),
        ("[tool]\nesync = 3\n", "must be a table"),
        ("tool = 3\n", "must be TOML"),
        ("[tool.esync\n", "line 1"),
        ("a = " + "[" * 5000, "must be TOML"),
        ("#" * (1024 * 1024 + 1), "1048576 bytes"),
    ],
    ids=lambda text: text[:20],
)
def test_a_bad_file_is_refused_naming_what_is_wrong(file, content, told):
    file.write_text(content)
    with pytest.raises(SettingError, match=told):
        config.read_file(file)


def test_a_file_that_is_no_utf8_is_refused(file):
    file.write_bytes(b"# \xff\n")
    with pytest.raises(SettingError, match="UTF-8"):
        config.read_file(file)


def test_a_folder_and_a_pipe_are_no_file(tmp_path):
    with pytest.raises(SettingError, match="regular file"):
        config.read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingError, match="regular file"):
        config.read_file(tmp_path / "pipe")
