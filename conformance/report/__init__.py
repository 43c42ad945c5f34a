"""What a person reads: certificate and pages, findings by cause, and the verdict in plain words."""
