"""Names of the checks that need only what is stored. Importing it reads no data library."""

from typing import Final

LIKE_BEFORE: Final = "rows_and_nulls_as_before"
"""Every asset has it."""
WITHIN_MEMORY: Final = "memory_within_limits"
"""Every asset has it too; a run alone can tell, so it is not made again."""
COMPARED: Final = 5
"""Materializations that it looks back at."""
FINITE: Final = "loss_is_finite"
FALLS: Final = "loss_falls"
RISES: Final = "reward_rises"
DIFFER: Final = "vectors_differ"
FORM: Final = "keywords_have_their_form"
VARIES: Final = "p_is_not_constant"
NO_HELD_OUT: Final = "no_held_out_query"
NO_TEST: Final = "no_test_query"
NO_FUTURE: Final = "nothing_from_the_future"
ALIKE: Final = "hits_as_in_test"
AS_OF: Final = "evidence_is_as_of"
