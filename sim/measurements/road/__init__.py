"""The report of a build: every task on every executor, compared, measured and shown on one page."""
