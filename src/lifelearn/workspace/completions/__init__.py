"""OpenAI's chat completions (/v1) for programs: a conversation is answered, and nothing of it is kept."""
