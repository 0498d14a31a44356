"""``python -m latchwork``."""

from latchwork.cli import main

main()
