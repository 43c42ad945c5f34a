"""Which setting of which page an unknown function is: `lossproof identify`.

`families` lists what there is to be recognised, each a `candidate`; `batches` are the calls that tell them apart, and
`told` what came back. `solve` finds the numbers that a function works with, `search` puts them together, `corners` says
where the function departs, and `answer` says in words what came out.
"""
