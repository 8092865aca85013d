"""The same operators, hosted by Faust. `docs/faust.md` says what it promises, and what it cannot."""
