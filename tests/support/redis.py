"""A Redis for tests that need one; they are skipped, and say so, where there is no redis-server."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

HAVE_REDIS = find_spec("redis") is not None and shutil.which("redis-server") is not None

needs_redis = pytest.mark.skipif(not HAVE_REDIS, reason="no redis-server here: apt-get install redis-server")
