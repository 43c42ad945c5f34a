"""What is asked: the probes of each loss and function, and the space of cases that they draw from."""
