"""The Dagster side of each stage: read, one call, write, report."""
