"""The demonstration: a broker, traffic with known attackers, a worker, and the story of what was found."""
