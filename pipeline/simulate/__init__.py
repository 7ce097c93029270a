"""Labelled traffic without limit: accounts with habits, streams of prompts, and the labels beside them."""
