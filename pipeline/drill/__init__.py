"""Faults on request, each provoked in a small real pipeline under load, which then has to prove that it harmed nothing.

`catalogue` lists the drills, `run` runs them. What a pipeline is put up with, fed by and proved by is in
`pipeline.rehearsal`; here is only what is done to it.
"""
