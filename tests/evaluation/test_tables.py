"""Names are text: nothing in a table becomes HTML, a link, another cell or a formula."""

import csv
import io

import pytest

from kzoo.evaluation import tables

CELLS = [
    ("a|b", "a\\|b"),
    ("a\\|b", "a\\|b"),
    ("`a|b`", "`a\\|b`"),
    ("a\nb\r\nc", "a b c"),
    ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
    ("a & b", "a &amp; b"),
    ("`<height>x<width>`", "`<height>x<width>`"),
    ("![x](http://a)", "![x]\\(http://a)"),
    ("left_eye", "left_eye"),
    ("|" * 3, "\\|" * 3),
    (0.123456, "0.1235"),
    (None, ""),
]


@pytest.mark.parametrize(("value", "cell"), CELLS)
def test_cells_of_markdown(value, cell):
    table = tables.markdown_table(["x|y", "z"], [[value, 1]])
    assert table.splitlines() == ["| x\\|y | z |", "| --- | --- |", f"| {cell} | 1 |"]


def test_code_keeps_its_backticks():
    assert tables.code("a\nb") == "`a b`" and tables.code("a`b") == "`` a`b ``"


FORMULAS = ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_text_in_csv(text):
    (header, row) = csv.reader(io.StringIO(tables.csv_text([text, "n"], [{text: text, "n": -1.5}]), newline=""))
    assert header == [f"'{text}", "n"] and row == [f"'{text}", "-1.5"]


@pytest.mark.parametrize("number", ["-1", "+0.5", "-1e-3", -2, 0.5])
def test_numbers_stay_numbers(number):
    assert tables.csv_cell(number) == number


def test_rows_are_filled_and_cut():
    assert tables.csv_text(["a", "b"], [{"a": 1, "c": 2}]) == "a,b\r\n1,\r\n"
