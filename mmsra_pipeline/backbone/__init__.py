"""Any image-text-to-text model behind three operations: generate, likelihood, first-token scores."""
