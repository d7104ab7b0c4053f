"""Parts of the study of keywords."""
