"""Settings that every test shares."""

import os

# `import locust` patches the whole process for gevent, and pytest-xdist's own threads do not survive that. Tests
# that need the patches run a program of their own; `commands.environment` gives it an environment without this.
os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
