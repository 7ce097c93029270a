"""Pure functions of arrays: the array module and the few named operations that differ are handed in.

Nothing here imports numpy, scipy or cupy at run time; `pipeline.backend` binds the functions to one of them.
"""
