"""The room that waits: the transport seam, credentials, and the one send loop."""
