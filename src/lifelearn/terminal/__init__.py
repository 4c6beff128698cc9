"""The chat in a terminal: conversation, corrections, progress and results. Knows nothing of the web or of tensors."""
