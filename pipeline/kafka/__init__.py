"""Kafka, seen from the core: topics, clients, and the one-node broker that demo and tests start.

Nothing here is imported by the engine; the modules import kafka-python only when they are used.
"""
