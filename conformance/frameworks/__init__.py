"""One adapter a framework: how a case is run there, in each mode, and how its derivatives are taken.

An adapter has `version`, `device`, `dtypes`, `modes` (the first is the one for general cases), `orders`, and
`run(function, key, inputs, mode, order, cotangent, tangents, audit)`, where `function(**inputs)` is the call with its
options, `key` names these options for caches, and arrays come and go as (float64 array, dtype name).
"""
