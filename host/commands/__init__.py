"""Commands that the runtime brings: run and doctor."""
