"""Stage 3: items to keywords, and the summarizer that writes them."""
