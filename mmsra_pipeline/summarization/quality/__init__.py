"""What keywords are worth, and text that attacks."""
