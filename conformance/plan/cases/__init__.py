"""Cases, a folder a loss: its space of structures, its boundary cases, its probes; and what several losses share."""
