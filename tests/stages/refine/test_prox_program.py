"""Programs, read in ProX's own way and in ours: every form, and whatever else a model may write."""

import pytest

from stages.refine.program import (
    Drop,
    Fault,
    Keep,
    Normalize,
    Operation,
    Program,
    RemoveAll,
    RemoveLines,
    join,
    parse_program,
)

# Methods 1.5: what must be read without a fault, and what it means.
FORMS: dict[str, tuple[Operation, ...]] = {
    "remove_lines(start=0, end=3)": (RemoveLines(0, 3),),
    "remove_lines(line_start=0, line_end=3)": (RemoveLines(0, 3),),
    "remove_lines(all=True)": (RemoveAll(),),
    'normalize(source_str="a b", target_str="c")': (Normalize("a b", "c"),),
    'normalize(source_str="a b")': (Normalize("a b", ""),),
    "untouch_doc()": (Keep(),),
    "keep_chunk()": (Keep(),),
    "keep_all()": (Keep(),),
    "keep_doc()": (Keep(),),
    "drop_doc()": (Drop(),),
    "keep": (Keep(),),
    "drop": (Drop(),),
    "# the menu goes\n\nremove_lines(start=0, end=0)\n\n# done": (RemoveLines(0, 0),),
    "```\nremove_lines(start=0, end=0)\n```": (RemoveLines(0, 0),),
    "```python\nremove_lines(start=0, end=0)\n": (RemoveLines(0, 0),),
    "remove_lines(start=1, end=1)\nremove_lines(start=1, end=1)": (RemoveLines(1, 1), RemoveLines(1, 1)),
    "": (),
}

# What models of others write too.
OTHERS: dict[str, tuple[Operation, ...]] = {
    "remove_lines(0, 3)": (RemoveLines(0, 3),),
    "remove_lines( 0 ,3 , )": (RemoveLines(0, 3),),
    'remove_lines(end="007", start="003")': (RemoveLines(3, 7),),
    "  remove_lines(start=0, end=3)  # the menu": (RemoveLines(0, 3),),
    "- remove_lines(0, 3)\n2. keep_all()\n`keep_doc()`": (RemoveLines(0, 3), Keep(), Keep()),
    "remove_lines(0, 3); remove_lines(5, 5), keep_all()": (RemoveLines(0, 3), RemoveLines(5, 5), Keep()),
    'normalize(source_str=\'a "b"\', target_str="c")': (Normalize('a "b"', "c"),),
    'normalize("a, (b) = c", "d")': (Normalize("a, (b) = c", "d"),),
    r'normalize("5\" pipe\n\tA\\B \d", "")': (Normalize('5" pipe\n\tA\\B \\d', ""),),
    r'normalize("\u00e9\ud83d\ude00", "")': (Normalize("é😀", ""),),
    'normalize(target_str="b", source_str="a")': (Normalize("a", "b"),),
    'normalize("  ", " ")': (Normalize("  ", " "),),
    "Here it is:\n```\nremove_lines(0, 3)\n```\nThat takes the menu away.": (RemoveLines(0, 3),),
    "<think>remove_lines(0, 9)?\nNo.</think>\nkeep_all()": (Keep(),),
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_read_without_a_fault(text: str) -> None:
    assert parse_program(text) == Program(FORMS[text])


@pytest.mark.parametrize("text", OTHERS)
def test_arguments_are_read_as_a_language_reads_them(text: str) -> None:
    assert parse_program(text) == Program(OTHERS[text])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("The page is clean.", "no_call"),
        ("delete_lines(0, 3)", "unknown_function"),
        ("remove_lines(start=0, end=1", "truncated"),
        ('normalize(source_str="http://exam', "truncated"),
        ("normalize(source_str=", "truncated"),
        ("remove_lines(", "truncated"),
        ("remove_lines(start=0; end=1)", "bad_argument"),
        ("remove_lines(start=-1, end=1)", "bad_argument"),
        ("remove_lines(start=[000], end=[001])", "bad_argument"),
        ("remove_lines(first=0, last=1)", "bad_argument"),
        ("remove_lines(start=0, start=1)", "bad_argument"),
        ('remove_lines(start="a", end="b")', "bad_argument"),
        ("remove_lines(start=0, end=" + "9" * 19 + ")", "bad_argument"),
        ("remove_lines(all=False)", "bad_argument"),
        ("keep_all(1)", "bad_argument"),
        ('normalize("he said "hi"", "")', "bad_argument"),
        ("normalize(source_str='it''s', target_str='')", "bad_argument"),
        (r'normalize("\ud83d", "")', "bad_argument"),
        ('normalize("a", 1)', "bad_argument"),
        ("remove_lines(3)", "missing_argument"),
        ("remove_lines()", "missing_argument"),
        ("normalize()", "missing_argument"),
        ("remove_lines(1, 2, 3)", "too_many_arguments"),
        ('normalize("a", "b", "c")', "too_many_arguments"),
        ("remove_lines(5, 2)", "end_before_start"),
        ('normalize("", "b")', "empty_source"),
        ('normalize(target_str="b")', "empty_source"),
    ],
)
def test_what_is_malformed_is_a_fault_with_its_reason_and_no_operation(line: str, reason: str) -> None:
    assert parse_program(line) == Program((), (Fault(reason, line),))


def test_a_call_without_end_is_cut_off_in_the_last_line_alone() -> None:
    text = "remove_lines(0, 1\nremove_lines(2, 3)\nremove_lines(4,"
    assert parse_program(text) == Program(
        (RemoveLines(2, 3),), (Fault("unclosed", "remove_lines(0, 1"), Fault("truncated", "remove_lines(4,"))
    )


def test_what_follows_a_whole_call_is_a_fault_but_the_call_counts() -> None:
    line = "remove_lines(0, 1) removes the menu"
    assert parse_program(line) == Program((RemoveLines(0, 1),), (Fault("trailing_text", line),))


def test_lines_that_the_model_was_not_shown_are_not_removed() -> None:
    text = "remove_lines(0, 3)\nremove_lines(12, 30)\nremove_lines(40, 50)\nremove_lines(10, 10)"
    assert parse_program(text, within=(10, 20)) == Program(
        (RemoveLines(12, 20), RemoveLines(10, 10)),
        (
            Fault("outside_chunk", "remove_lines(start=0, end=3)"),
            Fault("outside_chunk", "remove_lines(start=12, end=30)"),
            Fault("outside_chunk", "remove_lines(start=40, end=50)"),
        ),
    )
    for everything in ("remove_lines(all=True)", "drop_doc()"):
        assert parse_program(everything, within=(10, 20)) == Program((RemoveLines(10, 20),))


@pytest.mark.parametrize(
    ("text", "ops", "reasons"),
    [
        ("remove_lines(start=0, end=3)", (RemoveLines(0, 3),), []),
        ("remove_lines(a=0, b= 3 , c=x)", (RemoveLines(0, 3),), []),  # names are not looked at, further ones ignored
        ("remove_lines(0, 3)", (), ["bad_argument"]),
        ("remove_lines(start=0, end=19", (RemoveLines(0, 1),), ["unclosed"]),  # the last character is cut
        ("remove_lines start=0", (), ["no_bracket"]),
        (" remove_lines(start=0, end=3)\n\tremove_lines(start=0, end=3)", (RemoveLines(0, 3),), []),
        ("keep_all()\n remove_lines(start=0, end=3)", (), []),  # indented: nothing
        ("remove_lines(start=5, end=2)", (RemoveLines(5, 2),), []),
        ("remove_lines(all=True", (RemoveAll(),), []),
        ('normalize(source_str="a b", target_str="c")', (Normalize("a b", "c"),), []),
        ('normalize(source_str="a b")', (Normalize("a b", ""),), []),
        ('normalize(source_str=" ")', (Normalize(" ", ""),), []),  # all blanks
        ('normalize(source_str=" ", target_str="x")', (), []),
        ('normalize(source_str="", target_str="x")', (), []),
        ('normalize(source_str="a, b", target_str="x")', (), []),
        ('normalize(source_str="a=b", target_str="x")', (Normalize("a", "x"),), []),
        ('normalize(source_str="a) b", target_str="x")', (Normalize("a", ""),), []),
        ("normalize(source_str='a', target_str='b')", (Normalize("'a'", "'b'"),), []),
        ('normalize("a", "b")', (), ["bad_argument"]),
        ("normalized", (), ["no_bracket"]),
        ("```\nkeep_all()\ndrop_doc()\n# x", (), []),
    ],
)
def test_the_original_reading_with_its_oddities(text: str, ops: tuple[Operation, ...], reasons: list[str]) -> None:
    program = parse_program(text, compat=True)
    assert (program.ops, [fault.reason for fault in program.errors]) == (ops, reasons)


def test_programs_are_joined_in_order() -> None:
    programs = [parse_program("remove_lines(0, 1)\nfoo()"), parse_program("bar()\nremove_lines(3, 4)")]
    assert join(programs) == Program(
        (RemoveLines(0, 1), RemoveLines(3, 4)), (Fault("unknown_function", "foo()"), Fault("unknown_function", "bar()"))
    )
    assert join([]) == Program()


def test_a_program_written_out_is_read_as_itself() -> None:
    ops = (
        RemoveLines(0, 3),
        RemoveAll(),
        Normalize('a "b", (c)\n\\d\t', "é\r\x00😀"),
        Normalize(" ", ""),
        Keep(),
        Drop(),
    )
    assert parse_program(str(Program(ops))) == Program(ops)


def test_a_program_acts_if_it_asks_for_a_change() -> None:
    assert not parse_program("keep_all()").acts
    assert not parse_program("what is this").acts
    assert parse_program("keep_all()\nremove_lines(0, 1)").acts


@pytest.mark.parametrize(
    "text", ["(" * 50_000, 'normalize("' + "\\" * 50_000, "a(" * 20_000, '"' * 50_000, "#" * 50_000]
)
def test_hostile_output_is_read_in_no_time(text: str) -> None:
    assert parse_program(text).ops == ()
    assert parse_program(text, compat=True).ops == ()
