"""Testing the tests: bugs as patches to the shipped source, each with the test that has to notice it.

`catalogue.toml` says which bug breaks which promise and which test catches it; `patches/` has a patch for each. The
runner (`make mutants`) proves it, bug by bug, on a copy of the source: the test is green before and red after.
"""
