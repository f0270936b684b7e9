"""How commands print rows, and how they read durations."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner

from rangeland.cli.duration import Duration
from rangeland.cli.format import FORMATS, Cell, format_option, print_rows, render_rows
from rangeland.config import parse_duration

COLUMNS = ("username", "session ID", "revoked")
TIME = datetime(2022, 8, 2, 20, 24, 50, 819614, tzinfo=timezone(timedelta(hours=2)))
ROWS: list[list[Cell]] = [["root", 89, None], ["demo", 7, TIME]]


def test_a_table_has_a_centred_header_numbers_to_the_right_and_a_count() -> None:
    assert render_rows(COLUMNS, ROWS, "table") == (
        " username | session ID |          revoked\n"
        "----------+------------+----------------------------\n"
        " root     |         89 | NULL\n"
        " demo     |          7 | 2022-08-02 18:24:50.819614\n"
        "(2 rows)\n"
    )


def test_one_row_is_singular_and_none_is_plural() -> None:
    assert render_rows(["id"], [[1]], "table").endswith("\n(1 row)\n")
    assert render_rows(["id"], [], "table") == " id\n----\n(0 rows)\n"


def test_a_table_counts_wide_characters_twice() -> None:
    lines = render_rows(["name", "n"], [["日本", 1], ["abcd", 2]], "table").splitlines()
    assert lines[2:4] == [" 日本 | 1", " abcd | 2"]


def test_a_table_shows_control_characters_instead_of_sending_them() -> None:
    text = render_rows(["application_name"], [["a\x1b[31m\nb\tc"]], "table")
    assert r"a\x1b[31m\nb\tc" in text
    assert "\x1b" not in text


def test_json_is_a_list_of_objects_with_types_and_zoned_times() -> None:
    text = render_rows(COLUMNS, ROWS, "json")
    assert json.loads(text) == [
        {"username": "root", "session ID": 89, "revoked": None},
        {"username": "demo", "session ID": 7, "revoked": "2022-08-02T18:24:50.819614Z"},
    ]
    assert render_rows(COLUMNS, [], "json") == "[]\n"


def test_ndjson_is_an_object_a_line_with_types() -> None:
    lines = render_rows(COLUMNS, [["a\nb", 89, None], ROWS[1]], "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"username": "a\nb", "session ID": 89, "revoked": None},
        {"username": "demo", "session ID": 7, "revoked": "2022-08-02T18:24:50.819614Z"},
    ]
    assert render_rows(COLUMNS, [], "ndjson") == ""


def test_records_have_a_line_a_cell() -> None:
    assert render_rows(COLUMNS, ROWS, "records") == (
        "-[ RECORD 1 ]\n"
        "username   | root\n"
        "session ID | 89\n"
        "revoked    | NULL\n"
        "-[ RECORD 2 ]\n"
        "username   | demo\n"
        "session ID | 7\n"
        "revoked    | 2022-08-02 18:24:50.819614\n"
    )
    assert render_rows(COLUMNS, [], "records") == ""


def test_a_record_continues_a_cell_of_several_lines_and_sends_no_control_characters() -> None:
    text = render_rows(["a", "bc"], [["x\ny\x1b", 1]], "records")
    assert text == "-[ RECORD 1 ]\na  | x+\n   | y\\x1b\nbc | 1\n"


def test_raw_tells_the_length_of_each_cell_in_bytes() -> None:
    text = render_rows(["a", "b"], [["é\n#", None], ["", 12]], "raw")
    assert text == "# 2 columns\n# row 1\n## 4\né\n#\n## 4\nNULL\n# row 2\n## 0\n\n## 2\n12\n# 2 rows\n"
    assert render_rows(["a"], [[1]], "raw") == "# 1 column\n# row 1\n## 1\n1\n# 1 row\n"
    assert render_rows(["a"], [], "raw") == "# 1 column\n# 0 rows\n"


def test_tsv_and_csv_have_a_header_and_no_count() -> None:
    expected = "username\tsession ID\trevoked\nroot\t89\tNULL\ndemo\t7\t2022-08-02 18:24:50.819614\n"
    assert render_rows(COLUMNS, ROWS, "tsv") == expected
    assert render_rows(COLUMNS, ROWS, "csv") == expected.replace("\t", ",")


@pytest.mark.parametrize(("output_format", "separator"), [("csv", ","), ("tsv", "\t")])
def test_separators_in_a_cell_survive(output_format: str, separator: str) -> None:
    cells: list[Cell] = ['a,b\tc"d\ne', True, 1.5]
    text = render_rows(["x", "y", "z"], [cells], output_format)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert rows == [["x", "y", "z"], ['a,b\tc"d\ne', "true", "1.5"]]


def test_a_whole_second_has_no_fraction() -> None:
    whole = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert "\n2026-05-01 12:00:00\n" in render_rows(["t"], [[whole]], "tsv")


def test_an_unknown_format_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="no such format"):
        render_rows(COLUMNS, ROWS, "xml")


def test_the_option_offers_the_formats_and_tsv_is_for_pipes() -> None:
    @click.command()
    @format_option
    def command(output_format: str | None) -> None:
        print_rows(["id"], [[1]], output_format)

    runner = CliRunner()
    assert runner.invoke(command, []).output == "id\n1\n"
    assert runner.invoke(command, ["--format", "csv"]).output == "id\n1\n"
    assert runner.invoke(command, ["--format", "table"]).output == " id\n----\n  1\n(1 row)\n"
    refused = runner.invoke(command, ["--format", "xml"])
    assert refused.exit_code == 2
    assert all(name in refused.output for name in FORMATS)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1h0m0s", timedelta(hours=1)),
        ("4h30m", timedelta(hours=4, minutes=30)),
        ("87840h", timedelta(hours=87840)),
        ("1.5h", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("30d", timedelta(days=30)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1h ", " 1h", "1 h", "1y", "1h1", "1e3s", "999999999999999d"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None


def test_a_bad_duration_is_a_usage_error_with_an_example() -> None:
    with pytest.raises(click.BadParameter, match="such as 24h"):
        Duration().convert("soon", None, None)
