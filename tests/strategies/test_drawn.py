import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings

from pm_audit import strategies
from pm_audit.errors import AuditError
from pm_audit.strategies import Case, Insert, Program

TEXT = " Paris is the capital of France."
PHRASES = [f"phrase {number:03}" for number in range(200)]
QUIET = settings(
    max_examples=400,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def drawn(strategy, *, count=400, number=0):
    found = []

    @seed(number)
    @settings(QUIET, max_examples=count)
    @given(strategy)
    def collect(one):
        found.append(one)

    collect()
    return found


def every_kind():
    return [kind() for kind in strategies.KINDS.values()]


@pytest.mark.parametrize("name", strategies.KINDS)
def test_each_kind_edits_a_text(name):
    found = drawn(strategies.edited(TEXT, strategies.KINDS[name](), at_most=1), count=60)
    changed = [text for text in found if text != TEXT]
    assert len(set(changed)) > 3
    assert all(text.startswith(" ") and text.strip() for text in found)


def test_a_program_has_at_most_so_many_edits_and_none_twice():
    found = drawn(strategies.programs(*every_kind(), at_most=3))
    assert {len(program.edits) for program in found} == {1, 2, 3}
    assert all(len(set(program.edits)) == len(program.edits) for program in found)


def test_every_phrase_of_a_long_list_is_drawn():
    found = drawn(strategies.insertions(PHRASES), count=1500)
    assert {edit.text for edit in found} == set(PHRASES)


def test_a_failure_shrinks_to_the_one_edit_that_matters_at_its_simplest():
    some = strategies.programs(strategies.insertions(PHRASES), strategies.casing(), at_most=3)
    program = find(some, lambda one: "phrase 150" in one.apply(TEXT), settings=QUIET)
    assert program == Program(edits=(Insert(text="phrase 150", after=0),))


def test_two_edits_that_matter_together_both_stay():
    some = strategies.programs(*every_kind(), at_most=3)

    def matters(program):
        return "!" in program.apply(TEXT) and program.apply(TEXT).isupper()

    program = find(some, matters, settings=settings(QUIET, max_examples=5000))
    assert len(program.edits) == 2
    assert Case(how="upper", word=None) in program.edits


def test_a_shorter_phrase_is_simpler():
    some = strategies.suffixes(["a long phrase with no", "no", "yes"])
    assert find(some, lambda edit: "no" in edit.text, settings=QUIET).text == "no"


def test_a_seed_gives_the_same_programs_in_another_process_with_other_modules(tmp_path):
    # `hypothesis` draws integers that it finds in modules of the project
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import constants; import test_drawn as t;"
        "from pm_audit import strategies as s;"
        "print(*t.drawn(s.programs(s.insertions(t.PHRASES), s.markup()), number=7), sep='\\n')"
    )
    some = strategies.programs(strategies.insertions(PHRASES), strategies.markup())
    here = [str(program) for program in drawn(some, number=7)]
    assert len(set(here)) > 300
    numbers = "\n".join(f"N{number} = {number}" for number in range(100, 200))
    (tmp_path / "constants.py").write_text(numbers, encoding="utf-8")
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == here


@pytest.mark.parametrize("wrong", [[], [""], "text", [1], None, 5, b"ab"])
def test_phrases_must_be_texts(wrong):
    with pytest.raises(AuditError, match="list of one or more texts"):
        strategies.insertions(wrong)


def test_one_text_in_place_of_phrases_is_said_as_a_list():
    with pytest.raises(AuditError, match=r"not one text: \['Cheers'\]$"):
        strategies.suffixes("Cheers")


def test_a_register_holds_the_text_once():
    (edit,) = set(drawn(strategies.registers(["Sir, {text} Bye."]), count=5))
    assert edit.apply(TEXT) == " Sir, Paris is the capital of France. Bye."
    with pytest.raises(AuditError, match=r"must hold \{text\} once"):
        strategies.registers(["no place"])


def test_programs_need_a_kind():
    emoji = strategies.emoji()
    for edits in ((), (strategies.emoji,), ([emoji],), ("emoji",)):
        with pytest.raises(AuditError, match="need a strategy of edits"):
            strategies.programs(*edits)
    for at_most in (0, 1.5, "2", None, True):
        with pytest.raises(AuditError, match="at_most, a whole number"):
            strategies.programs(emoji, at_most=at_most)
    with pytest.raises(AuditError, match="edited needs a text, not NoneType"):
        strategies.edited(None, emoji)


def test_a_set_is_drawn_from_in_one_order():
    marks = [chr(point) for point in range(33, 48)]
    for kind in (strategies.punctuation, strategies.emoji, strategies.insertions):
        given = drawn(kind(set(marks)), count=20, number=3)
        assert given == drawn(kind(sorted(marks)), count=20, number=3)
