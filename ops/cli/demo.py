"""`everscore demo`"""
from ops.cli.support import command
@command
async def demo() -> None:
    """x"""
