"""The app that Faust runs: `faust -A pipeline.faust_host.app --datadir DIR worker -l info --without-web`.

Settings come from the same `STATELOG_*` variables as the native workers'. STATELOG_FAUST_STAGES says which stages are
hosted: `both` (the default), `transform` or `aggregate`. The choice is part of the app's id, `{prefix}faust-{stages}`,
and so of its consumer group and its changelogs: a group of one choice knows nothing of another's.

STATELOG_ID, one a worker, makes membership static, so that a restarted worker is back at once. Run it under a
supervisor that starts it again after exit codes 70, 71 and 72: see `docs/faust.md`.
"""

from __future__ import annotations

import sys

from pydantic import ValidationError

from pipeline.errors import PipelineError
from pipeline.faust_host.host import make_app
from pipeline.faust_host.settings import FaustSettings
from pipeline.logging import set_up_logging
from pipeline.settings import Settings

try:
    _settings = Settings()
    set_up_logging(_settings.log_format, _settings.log_level)
    app = make_app(_settings, FaustSettings())
except PipelineError as error:
    print(f"{error}; {error.hint}", file=sys.stderr)
    sys.exit(error.exit_code)
except ValidationError as error:
    print(f"settings cannot be read: {error}", file=sys.stderr)
    sys.exit(2)
