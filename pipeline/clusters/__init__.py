"""Groups of accounts that may be one: found, judged as one account, and followed from day to day.

`find.find_clusters` and `judge.judge_clusters` are the two halves, `run.find_and_judge_clusters` does it all.
"""
