"""Tables, charts and pages: a writer says what is shown, this room says how it looks, on paper, on screen and in the terminal.

Standard library only, but for `terminal`, which needs rich.
"""
