"""Stage 6: candidate lists, baselines, metrics and reports."""
