"""Who took an item soon after another."""
