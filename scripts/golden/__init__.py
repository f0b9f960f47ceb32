"""Golden values: what PyTorch's own operator samples give, written in terms of this package's ops.

`samples` lists what OpInfo offers (plus a few probes), `adapters` says which session call each sample is,
`truth` asks
PyTorch for value, VJP and JVP, `choose` keeps a small diverse subset, `store` writes it. Nothing here
imports prooftape:
the numbers must not depend on the code they will judge.
"""
