"""A stage in Ray Data's map_batches is the stage."""

import pyarrow as pa
import pytest

from cluster.ray_data import StageCall
from schemas.check import SchemaError
from tests.fakes import DropWith, Upper

pytestmark = pytest.mark.ray


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_stage_runs_in_map_batches(ray_session: None) -> None:
    import ray.data

    dataset = ray.data.from_arrow(pa.table({"id": ["1", "2"], "text": ["keep", "spam"]}))
    for stage in (DropWith("spam"), Upper()):
        dataset = dataset.map_batches(
            StageCall,
            fn_constructor_args=(stage,),
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
        )
    rows = sorted(dataset.take_all(), key=lambda row: row["id"])
    assert rows == [
        {"id": "1", "text": "KEEP", "drop_reason": None},
        {"id": "2", "text": "SPAM", "drop_reason": "spam"},
    ]


def test_missing_column_is_named() -> None:
    with pytest.raises(SchemaError, match=r"Upper reads 'text', which no earlier stage adds; did you mean 'texts'\?"):
        StageCall(Upper())(pa.table({"texts": ["a"]}))
