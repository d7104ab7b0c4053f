"""Pictures that lie within Parquet files, stored as those that are files; each file is read once, in its own order."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.embedded_pictures import embedded, rows_of_pictures
from mmsra_pipeline.ingest.picture_paths import locate
from mmsra_pipeline.items.picture_store import MISSING, Picture, store_picture
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.telemetry.progress import tracked

CHANGED = "is not what it was when the items were read; refresh the data set"


def read_embedded(
    cells: Iterable[str], home: Path | None, artifacts: Artifacts, config: ItemsConfig
) -> dict[str, Picture]:
    """Return, by cell, what became of the picture that it names; a cell that names none within a file is left out.

    Args:
        cells: what items say of their pictures.
        home: folder of the source files; nothing outside it is read.
        artifacts: gets the JPEGs.
        config: size of the stored pictures, bound of the source's.
    """
    places = {cell: place for cell in cells if (place := embedded(cell))}
    files: dict[tuple[str, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell, place in places.items():
        files[place.file, place.column][place.row].append(cell)
    found: dict[str, Picture] = {}
    for (name, column), rows in tracked(sorted(files.items()), len(files), "files of pictures"):
        path = locate(home, name) if home is not None else None
        if path is None or not path.is_file():
            continue
        try:
            for row, content in rows_of_pictures(path, column, rows):
                same = content is not None and content_hash(content)
                for cell in rows[row]:
                    if content is not None and same == places[cell].sha256:
                        found[cell] = store_picture(content, artifacts, config)
        except DataError as error:
            reason = str(error).replace(str(path), name)
            found |= {cell: Picture(None, MISSING, reason) for each in rows.values() for cell in each}
    missing = {
        cell: Picture(None, MISSING, f"row {place.row} of {place.file}, column {place.column}: {CHANGED}")
        for cell, place in places.items()
        if cell not in found
    }
    return found | missing
