import pyarrow as pa
import xxhash

from schemas import columns as c
from stages.content_hash import ContentHash, normalize
from stages.drop_duplicates import DropDuplicates
from stages.stage import Stage, check


def hashes(stage: ContentHash, *texts: str | None) -> list[bytes | None]:
    table = pa.table({"id": [str(i) for i in range(len(texts))], "text": pa.array(texts, c.TEXT)})
    result = stage.open()(table)
    assert result.schema.field("content_hash").type == pa.binary(16)
    return result.column("content_hash").to_pylist()


def test_are_stages():
    check((ContentHash(),), pa.schema([c.ID, c.BODY]))
    check((DropDuplicates(),), pa.schema([c.ID, c.DUPLICATE_OF]))
    assert isinstance(ContentHash(), Stage) and isinstance(DropDuplicates(), Stage)


def test_white_space_and_unicode_form_do_not_count():
    assert normalize("\n a\tb \u00a0 cafe\u0301\r\n") == "a b caf\u00e9"
    assert len(set(hashes(ContentHash(), "a b caf\u00e9", "a\n\nb cafe\u0301 ", "\ta  b\u2003caf\u00e9"))) == 1


def test_case_punctuation_and_digits_count():
    assert len(set(hashes(ContentHash(), "a b", "A b", "a b.", "a b 1", "ab", ""))) == 6


def test_without_normalizing_every_byte_counts():
    assert len(set(hashes(ContentHash(normalize=False), "a b", "a  b", "a b "))) == 3


def test_is_xxh3_of_the_text():
    assert hashes(ContentHash(), " a  b ") == [xxhash.xxh3_128(b"a b").digest()]
    assert hashes(ContentHash(normalize=False), " é ") == [xxhash.xxh3_128(" é ".encode()).digest()]
    assert hashes(ContentHash(), "")[0].hex() == "99aa06d3014798d86001c324468d497f"  # xxHash's own value for no bytes


def test_null_and_empty_and_chunked():
    assert hashes(ContentHash(), None, "a")[0] is None
    assert hashes(ContentHash()) == []
    table = pa.table({"text": pa.chunked_array([["a"], ["b"]], c.TEXT)})
    assert len(ContentHash(normalize=False).open()(table).column("content_hash")) == 2


def test_reason_duplicate():
    table = pa.table({"id": ["1", "2", "3"], "duplicate_of": pa.chunked_array([[None, "1"], [None]], pa.string())})
    assert DropDuplicates().open()(table).column("drop_reason").to_pylist() == [None, "duplicate", None]
    nothing = DropDuplicates().open()(table.slice(0, 0))
    assert (nothing.num_rows, nothing.schema.field("drop_reason").type) == (0, pa.string())
