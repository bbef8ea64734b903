"""The stack that the toolkit starts itself: topology, its rendering to local processes, readiness, state."""
