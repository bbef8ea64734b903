"""The stack that the toolkit starts itself: topology, local processes, readiness, state."""
