"""What a run tells: events, log, progress, metrics, traces."""
