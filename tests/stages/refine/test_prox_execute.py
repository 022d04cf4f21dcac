"""Programs carried out: the golden cases of methods 1.7, the last word, guards, and what no program may do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.refine.execute import COMPAT, Executed, Thresholds, execute, rerun
from stages.refine.program import Fault, Normalize, Program, RemoveLines, parse_program
from tests.stages.refine.golden import GOLDEN, D


def words(n: int) -> str:
    return " ".join(f"w{i}" for i in range(n))


@pytest.mark.parametrize(("output", "text", "decision", "errors"), GOLDEN)
def test_golden_cases(output: str, text: str, decision: str, errors: int) -> None:
    result = execute(D, parse_program(output, compat=True))
    assert (result.text, result.decision, len(result.errors)) == (text, decision, errors)


@pytest.mark.parametrize(
    ("left", "faults", "decision"),
    [
        (5, 0, "dropped_ratio"),  # 5 of 100: 0.05 <= 1 - 0.95
        (6, 0, "dropped_short"),
        (5, 2, "dropped_short"),  # broken, but too short whatever it says
        (10, 1, "dropped_short"),
        (10, 2, "dropped_short"),
        (11, 0, "refined"),
        (11, 1, "refined"),
        (11, 2, "abandoned"),
    ],
)
def test_the_last_word_by_what_is_left_and_by_faults(left: int, faults: int, decision: str) -> None:
    text = f"{words(left)}\n{words(100 - left)}"
    program = Program((RemoveLines(1, 1),), (Fault("no_call", "x"),) * faults)
    result = execute(text, program)
    assert result.decision == decision
    assert result.text == {"refined": words(left), "abandoned": text}.get(decision, "")


def test_thresholds_have_the_original_names() -> None:
    text, program = f"{words(40)}\n{words(60)}", Program((RemoveLines(1, 1),), (Fault("no_call", "x"),))
    assert execute(text, program).decision == "refined"
    assert execute(text, program, Thresholds(threshold_1=0.41)).decision == "abandoned"
    assert execute(text, program, Thresholds(threshold_1=0.4)).decision == "refined"
    assert execute(text, program, Thresholds(threshold_2=0.5)).decision == "dropped_ratio"
    assert execute(text, program, Thresholds(threshold_2=0.5, error_op=1)).decision == "abandoned"
    assert execute(text, program, Thresholds(min_words=40)).decision == "dropped_short"


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_text_without_words_is_dropped(text: str) -> None:
    assert execute(text, Program()) == Executed("", "dropped_short", ())
    assert execute(text, Program(), Thresholds(min_words=-1)).text == text


def test_ranges_beyond_the_text_are_counted_after_merging() -> None:
    def faults(*ranges: tuple[int, int]) -> list[str]:
        return [f.call for f in execute(D, Program(tuple(RemoveLines(*r) for r in ranges))).errors]

    assert faults((3, 4)) == []
    assert faults((3, 5)) == ["remove_lines(start=3, end=5)"]
    assert faults((5, 5), (3, 4)) == ["remove_lines(start=3, end=5)"]
    assert faults((0, 0), (9, 9), (7, 7)) == ["remove_lines(start=7, end=7)", "remove_lines(start=9, end=9)"]
    assert faults((9, 2)) == ["remove_lines(start=9, end=2)"]


def test_a_huge_range_costs_nothing() -> None:
    assert execute(D, parse_program(f"remove_lines(start=2, end={10**15})", compat=True)).decision == "dropped_short"


def test_what_was_applied_is_merged_and_without_what_changed_nothing() -> None:
    program = parse_program(
        'remove_lines(0, 0)\nremove_lines(1, 1)\nnormalize("nothing of it", "")\nnormalize("Google ")'
    )
    result = execute(D, program)
    assert result.applied == (RemoveLines(0, 1), Normalize("Google ", ""))
    assert rerun(D, result.applied) == result.text


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ('normalize(" ", "")', "blank_source"),
        ('normalize("\\n", " ")', "blank_source"),
        ('normalize("Google scholar", "Google scholar since 2004")', "new_number"),
        ('normalize("Google scholar", "see www.example.com/a")', "new_address"),
        ('normalize("Google scholar", "Google scholar, where everybody finds everything")', "grows"),
    ],
)
def test_guards_refuse_what_a_refiner_has_no_business_to_do(call: str, reason: str) -> None:
    result = execute(D, parse_program(call))
    assert (result.text, [f.reason for f in result.errors]) == (D, [reason])


def test_guards_let_pass_what_cleans() -> None:
    text = f"{words(30)}\nthey wont,  wont they &amp; 1 350 pounds"
    program = parse_program(
        'normalize("wont", "won\'t")\nnormalize("  ", " ")\nnormalize("&amp;", "&")\nnormalize("1 350", "1350")'
    )
    result = execute(text, program)
    assert (result.text, result.errors) == (f"{words(30)}\nthey won't, won't they & 1350 pounds", ())


def test_the_original_has_no_guard_but_for_memory() -> None:
    text = words(20)
    doubling = "\n".join(['normalize(source_str="w", target_str="ww")'] * 60)
    result = execute(text, parse_program(doubling, compat=True))
    assert result.decision == "abandoned"
    assert {f.reason for f in result.errors} == {"grows"}
    grown = execute(text, parse_program(doubling, compat=True), Thresholds(error_op=99))
    assert len(text) < len(grown.text) <= COMPAT.max_growth * len(text) + COMPAT.room
    assert execute(text, parse_program('normalize("w0", "w0 www.example.com/99")'), guards=COMPAT).decision == "refined"


NUMBERS = st.one_of(st.integers(-2, 12), st.integers(0, 10**20)).map(str)
STRINGS = st.text(st.sampled_from("ab ,=()'\"\\\n1é.#"), max_size=6)
QUOTED = STRINGS.map(lambda s: f'"{s}"')
CALLS = st.one_of(
    st.builds("remove_lines(start={}, end={})".format, NUMBERS, NUMBERS),
    st.builds("remove_lines({}, {})".format, NUMBERS, NUMBERS),
    st.builds("normalize(source_str={}, target_str={})".format, QUOTED, QUOTED),
    st.builds("normalize(source_str={})".format, QUOTED),
    st.sampled_from(["remove_lines(all=True)", "keep_all()", "drop_doc()", "```", "# x", ""]),
    st.text(max_size=20),
)
CUT = st.tuples(CALLS, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
PROGRAMS = st.lists(st.one_of(CALLS, CUT), max_size=6).map("\n".join)
TEXTS = st.one_of(st.text(st.sampled_from("ab \n,=1é"), max_size=80), st.text(max_size=40))
LIMITS = st.builds(Thresholds, st.floats(0, 1), st.floats(0, 1), st.integers(1, 4), st.integers(-1, 12))


@settings(max_examples=400)
@given(text=TEXTS, output=PROGRAMS, compat=st.booleans(), limits=LIMITS)
def test_no_program_raises_or_grows_a_text_without_normalize_and_replay_equals_the_first_run(
    text: str, output: str, compat: bool, limits: Thresholds
) -> None:
    program = parse_program(output, compat)
    result = execute(text, program, limits)
    assert execute(text, program, limits) == result
    if not any(isinstance(op, Normalize) for op in program.ops):
        assert len(result.text) <= len(text)
    if not compat:
        assert len(result.text) <= 1.05 * len(text)
    written = parse_program(str(Program(result.applied)))
    assert written == Program(result.applied)
    if result.decision == "refined":
        assert rerun(text, written.ops) == result.text != text
    elif result.decision in ("untouched", "abandoned"):
        assert result.text == text
    else:
        assert result.text == ""


@settings(max_examples=200)
@given(output=PROGRAMS, first=st.integers(0, 5), more=st.integers(0, 5))
def test_a_program_about_a_chunk_never_removes_lines_of_another(output: str, first: int, more: int) -> None:
    for op in parse_program(output, within=(first, first + more)).ops:
        if isinstance(op, RemoveLines):
            assert first <= op.start <= op.end <= first + more
