import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.definitions import defs
from mmsra_pipeline.orchestration.dictionary import TABLES
from mmsra_pipeline.orchestration.table_metadata import COLUMN_SOURCES, table_metadata


def written(tmp_path, **columns):
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def test_columns_have_the_types_of_the_file_and_the_meaning_of_the_dictionary(tmp_path):
    file = written(tmp_path, item_id=["i1"], keywords=[["red", "mug"]], new=pa.array([1], pa.int64()))
    metadata = table_metadata(Tables.ITEM_KEYWORDS, file, 1)
    columns = [(column.name, column.type, column.description) for column in metadata["dagster/column_schema"].columns]
    assert [name for name, _, _ in columns] == ["item_id", "keywords", "new"]
    assert columns[0][1:] in [("string", "id of the item"), ("large_string", "id of the item")]
    assert columns[1][2] == "keywords of picture and text"
    assert columns[1][1].startswith("list<")
    assert columns[2][1:] == ("int64", None)


def test_rows_are_counted_of_the_table_and_of_the_partition(tmp_path):
    metadata = table_metadata(Tables.FUNNEL, written(tmp_path, step=["all"]), 17)
    assert (metadata["dagster/row_count"], metadata["dagster/partition_row_count"]) == (17, 17)
    assert "dagster/column_lineage" not in metadata  # of which nothing simple can be said


def test_lineage_names_the_columns_that_a_column_is_made_of(tmp_path):
    metadata = table_metadata(Tables.RECOMMENDATIONS, written(tmp_path, title=["Mug"]), 1)
    deps = metadata["dagster/column_lineage"].deps_by_column
    assert deps["title"] == [dg.TableColumnDep(dg.AssetKey("item_text"), "title")]


def test_lineage_leads_to_columns_that_there_are_of_assets_that_are_read():
    graph = defs().resolve_asset_graph()
    for asset, columns in COLUMN_SOURCES.items():
        read = {key.to_user_string() for key in graph.get(dg.AssetKey(asset)).parent_keys}
        assert set(columns) <= set(TABLES[asset].columns), asset
        for sources in columns.values():
            assert {source for source, _ in sources} <= read, asset
            assert [pair for pair in sources if pair[1] not in TABLES[pair[0]].columns] == [], asset
