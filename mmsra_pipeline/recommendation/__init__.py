"""Stage 5: examples, the recommender and its scores."""
