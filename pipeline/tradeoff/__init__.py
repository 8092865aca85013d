"""The same topology with its state in four places, measured side by side in one run.

Operators, loop, membership and input are the same each time; what differs is where a task's tables are.
"""
