"""What lies on disk or in an object store: paths, files, tables, artifacts, locks, retention."""
