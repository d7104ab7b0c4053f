"""The sequential model: histories of item ids become vectors that score items."""
