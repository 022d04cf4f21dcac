"""A place for each row by hash."""

from itertools import pairwise

import pyarrow as pa

from stages.synthesize.order import DrawOrder


def test_the_order_depends_on_seed_and_id_alone_and_is_even() -> None:
    ids = [f"row {n}" for n in range(4000)]
    table = pa.table({"id": ids})
    order = DrawOrder().open()(table).column("order").to_pylist()
    assert DrawOrder().open()(table.slice(5, 3)).column("order").to_pylist() == order[5:8]
    assert DrawOrder(seed=1).open()(table).column("order").to_pylist() != order
    assert len(set(order)) == len(ids)
    quarters = [sum(number >> 62 == q for number in order) for q in range(4)]
    assert all(900 < n < 1100 for n in quarters)


def test_variants_of_a_document_are_no_neighbours() -> None:
    """Of 200 documents with 10 variants each, one in 200 of 2,000 rows stands before one of its own by chance."""
    ids = [f"{document} {variant}" for document in range(200) for variant in range(10)]
    order = DrawOrder().open()(pa.table({"id": ids})).column("order").to_pylist()
    shuffled = [id_.split()[0] for _, id_ in sorted(zip(order, ids, strict=True))]
    assert sum(a == b for a, b in pairwise(shuffled)) < 25
