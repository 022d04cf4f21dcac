"""Generated boilerplate."""

from random import Random

import pytest

from stages.refine import noise
from stages.refine.labels import Document

CLEAN = Document(
    "a", "a", "en", "x", ("The mill at Whitby stands by the North Sea in all weathers.", "x"), (True, False)
)


def test_families_are_seen_or_unseen() -> None:
    seen, unseen = ({f.name for f in noise.families(side)} for side in (True, False))
    assert len(seen) >= 15 and len(unseen) >= 10
    assert not seen & unseen
    assert seen | unseen == {f.name for f in noise.families()}


def test_no_line_of_an_unseen_family_is_one_of_a_seen_family() -> None:
    lines = [
        {text.lower() for f in noise.families(side) for ls in f.lines.values() for text in ls} for side in (True, False)
    ]
    assert lines[0] & lines[1] == set()


def test_material_is_of_the_main_text() -> None:
    stuff = noise.material([CLEAN])
    assert stuff.words == {"en": ["North", "Sea", "Whitby"]}
    assert stuff.titles == {"en": [CLEAN.lines[0]]}


@pytest.mark.parametrize("family", noise.families(), ids=lambda f: f.name)
def test_every_line_of_a_family_can_be_filled(family: noise.Family) -> None:
    stuff = noise.material([CLEAN])
    for seed in range(40):
        lang = ("en", "de", "fi", "zh")[seed % 4]
        lines = noise.block(Random(seed), family, lang, stuff)
        assert 1 <= len(lines) <= family.most
        assert not any("{" in line or "\n" in line or not line.strip() for line in lines)


def test_an_unknown_slot_is_an_error() -> None:
    with pytest.raises(ValueError, match="no slot is called 'nmae'"):
        noise._fill(Random(1), "By {nmae}", "en", "en", noise.material([CLEAN]))


def test_a_chunk_is_the_clean_lines_in_order_and_noise_between_them() -> None:
    stuff, clean = noise.material([CLEAN]), [f"Paragraph {i}." for i in range(6)]
    whole = 0
    for seed in range(60):
        chunk = noise.chunk(Random(seed), clean, "en", noise.families(seen=False), stuff)
        kept = [line for line, keep in zip(chunk.lines, chunk.keep, strict=True) if keep]
        assert "".join(kept) in "".join(clean)
        assert (len(kept) < len(chunk.lines)) == bool(chunk.families)
        assert set(chunk.families) <= {f.name for f in noise.families(seen=False)}
        whole += kept == clean
    assert whole > 40
    assert any(not noise.chunk(Random(s), clean, "en", noise.families(), stuff).families for s in range(60))


def test_the_same_seed_makes_the_same_chunk() -> None:
    made = [noise.chunk(Random(3), ["a", "b"], "sv", noise.families(True), noise.material([CLEAN])) for _ in range(2)]
    assert made[0] == made[1]
