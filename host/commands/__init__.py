"""Commands that the runtime brings: run, compare, profile, watch, deploy and doctor."""
