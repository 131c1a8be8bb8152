"""The protocol, without a wire: values in, bytes out, and back. Nothing in here waits or opens anything."""
