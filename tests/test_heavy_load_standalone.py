"""`python3 tests/test_heavy_load_standalone.py`: the whole heavy-load suite without pytest; exit code of the run.

It has no tests of its own: `test_heavy_load.py` has them. What it writes is in `reports/` of the current folder.
"""

import sys
from pathlib import Path


def main():
    sys.path.insert(0, str(Path(__file__).parent / "support"))
    from heavy_loading import run_plan, write_reports

    code, _, run = run_plan("heavy-load", Path.cwd(), *sys.argv[1:])
    _, text = write_reports(run)
    print(f"\n{text}\n{run / 'writing'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
