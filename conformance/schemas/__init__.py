"""JSON schemas of the certificate and of the protocol."""
