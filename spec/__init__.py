"""What every part of moesaic agrees on: instructions, registers, integer arithmetic, machine semantics and file formats.

Depends on numpy and the standard library only.
"""
