"""The runtime's commands: run, compare, profile, watch, deploy and doctor."""
