"""The embedded Elasticsearch and Redis: for a laptop, a test run, a demo.

    from hybrid.node import down, status, up

Each named node has its own folder, ports and data, and several run side by side. The servers are detached:
they outlive the process that started them, and `down` finds them by the pids in the node's state file.
"""

from hybrid.node.control import NodeStatus, down, restart_redis, status, up

__all__ = ["NodeStatus", "down", "restart_redis", "status", "up"]
