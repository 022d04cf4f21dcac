import pyarrow as pa

from schemas import columns as c
from stages.edits import Edit, append_edits

EARLIER = {"stage": "A", "rule": "x", "n_chars_before": 9, "n_chars_after": 8}


def test_column_is_made_with_null_where_nothing_changed():
    result = append_edits(pa.table({"id": ["1", "2"]}), "B", [[], [Edit("y", 8, 7), Edit("z", 7, 7)]])
    assert result.schema.field("edits").type == c.EDITS.type
    assert result.column("edits").to_pylist() == [
        None,
        [
            {"stage": "B", "rule": "y", "n_chars_before": 8, "n_chars_after": 7},
            {"stage": "B", "rule": "z", "n_chars_before": 7, "n_chars_after": 7},
        ],
    ]


def test_edits_of_earlier_stages_stay():
    column = pa.chunked_array([[[EARLIER]], [None]], c.EDITS.type)
    table = pa.table({"id": ["1", "2"], "edits": column})
    result = append_edits(table, "B", [[Edit("y", 8, 7)], []]).column("edits").to_pylist()
    assert ([e["stage"] for e in result[0]], result[1]) == (["A", "B"], None)
    assert append_edits(table, "B", [[], []]) is table
    assert append_edits(pa.table({"id": pa.array([], pa.string())}), "B", []).num_rows == 0
