"""Users: who they are, what they may say about themselves, and who reads it.

The promise: every wrong field of a body is named at once, nothing privileged is ever written through it, and nobody is
shown a field that its declaration does not let them read.
"""
