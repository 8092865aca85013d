"""Proof that a store is what its log says, by code that shares nothing with how the store came to be.

It runs in a process of its own (`python -m pipeline.verify`), on a checkpoint of the store: the worker goes on beside
it. The log is folded into SQLite in a scratch directory and digested there; the two digests must be equal (P2, P3).
"""
