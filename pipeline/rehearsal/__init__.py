"""A whole pipeline put up to be looked at: its Kafka, its workers, its input, and the proof of what came out.

What the demo and the drills share. What happens in between, and when, is theirs.
"""
