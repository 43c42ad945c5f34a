"""What is right: the oracle and its budgets, the comparison, the smallest case, and the clause that it names."""
