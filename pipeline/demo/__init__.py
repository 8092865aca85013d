"""The whole story in one terminal: a pipeline at work, a worker killed and robbed of its disk, and the proof.

Read `story` first; every other module is one part of it.
"""
