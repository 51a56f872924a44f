"""Coverage of the RTL: lines, branches and bits by module, and a plan of what has to happen.

`python -m tests.verify.coverage` measures it.
"""
