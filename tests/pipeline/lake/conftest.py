"""Makes ``lake_support`` importable for the tests here and for `tests/pipeline/test_landing.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
