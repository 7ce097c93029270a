"""`python -m pipeline.cli`: the same as `distillwatch`."""

from pipeline.cli.main import main

main()
