"""Which setting of which page an unknown function is: `lossproof identify`.

`families` lists what there is to be recognised, `batches` are the calls that tell it apart, `solve` finds the numbers
that a function works with, `search` puts them together, and `answer` says in words what came out.
"""
