"""The Rocq theory behind the certificates: where its sources are, how it is compiled, what it proves."""
