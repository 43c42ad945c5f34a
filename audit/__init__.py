"""The judge, judged: broken implementations that it must catch, right ones that it must not accuse."""
