"""Believable telemetry, made up from a seed: devices, their days, their slips, and broken messages on request."""
