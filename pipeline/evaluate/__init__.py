"""The detection benchmark: worlds that nothing was fitted on, published detectors beside ours, one report."""
