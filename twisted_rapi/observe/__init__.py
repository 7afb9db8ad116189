"""
Seeing inside: log events that say which request and job they belong to, metrics, health.

The two context variables follow coroutines by themselves (`Deferred.fromCoroutine` copies the context).
"""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the HTTP request this code runs for; empty outside of one."""

job_id: ContextVar[int] = ContextVar("job_id", default=0)
"""The id of the job this code runs for; 0 outside of one."""
