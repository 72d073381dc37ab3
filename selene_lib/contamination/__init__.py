"""Training text against benchmark text, and against itself.

Overlaps and near-duplicates of half a million rows in one process.

    overlaps = find_overlaps(all_texts(training), all_texts(benchmark))
    training = remove_contaminated(training, overlaps).kept
"""

from selene_lib.contamination.duplicates import near_duplicates
from selene_lib.contamination.overlaps import (
    METHODS,
    REMOVING,
    Overlap,
    Thresholds,
    find_overlaps,
)
from selene_lib.contamination.samples import (
    Removal,
    all_texts,
    clean_part,
    remove_contaminated,
    sample_id,
    sample_texts,
)

__all__ = [
    "METHODS",
    "REMOVING",
    "Overlap",
    "Removal",
    "Thresholds",
    "all_texts",
    "clean_part",
    "find_overlaps",
    "near_duplicates",
    "remove_contaminated",
    "sample_id",
    "sample_texts",
]
