"""Tables, charts and pages: a writer says what is shown, this package how it looks, on paper, on screen and in the terminal.

Standard library only, except for `terminal`, which needs rich.
"""
