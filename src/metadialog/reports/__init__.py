"""From what runs and benchmarks have written to tables and figures; reads files only, never models."""
