"""Cases, one module a loss: the space of its structures, its boundary cases, which clause a failure blames."""
