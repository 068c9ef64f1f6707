"""What every test may use: see the fix_*.py beside this file."""

from __future__ import annotations

pytest_plugins = ["fix_cluster", "fix_spawn"]
